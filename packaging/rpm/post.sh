systemd-sysusers evenkeel.conf || :
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
    /usr/lib/systemd/systemd-sysctl 50-evenkeel.conf >/dev/null 2>&1 || :
    if [ "$1" = 1 ]; then
        systemctl preset evenkeel.service || :
    elif systemctl --quiet is-active evenkeel.service; then
        # An upgrade: the process that runs gives way, and its connections go on.
        /usr/sbin/evenkeel upgrade || systemctl try-restart evenkeel.service || :
    fi
fi
