systemd-sysusers evenkeel.conf || :

# Whether a new process would take the configuration: as the service's user, with the service's variables.
accepts_its_files() {
    systemd-run --quiet --wait --collect --pipe \
        --property="User=$(systemctl show -P User evenkeel.service)" \
        --property="Environment=$(systemctl show -P Environment evenkeel.service)" \
        --property=EnvironmentFile=-/etc/default/evenkeel \
        /usr/sbin/evenkeel -c -q -f '${EVENKEEL_CONFIG}' '$EVENKEEL_OPTIONS' </dev/null
}

if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
    /usr/lib/systemd/systemd-sysctl 50-evenkeel.conf >/dev/null 2>&1 || :
    if [ "$1" = 1 ]; then
        systemctl preset evenkeel.service || :
    elif systemctl --quiet is-active evenkeel.service && ! /usr/sbin/evenkeel upgrade; then
        # A process that serves is not ended for one that would not start.
        if accepts_its_files; then
            systemctl try-restart evenkeel.service || :
        else
            echo "evenkeel: this version refuses the service's files, so the process of before serves on;" \
                "mend them, see that 'evenkeel -c -f FILE' finds nothing, then 'evenkeel upgrade'" >&2
        fi
    fi
fi
