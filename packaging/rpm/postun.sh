if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
fi
# An .rpm of cargo-generate-rpm has files alone.
if [ "$1" = 0 ]; then
    for directory in /etc/evenkeel /usr/share/evenkeel/monitoring /usr/share/evenkeel \
        /usr/share/doc/evenkeel/examples /usr/share/doc/evenkeel /usr/share/licenses/evenkeel; do
        rmdir "$directory" 2>/dev/null || :
    done
fi
