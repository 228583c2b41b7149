# Owns lmkd's life below each of those that start it again: the script for BusyBox and SysV init, OpenRC, s6. Sourced by
# main.sh. One record of kind "supervised" a way; each finds the store that the one before left.
FILES=/lmkd/files
PIDFILE=/var/run/lmkd.pid

guard() { # its process id, by the control socket
    lmkd status --json 2> /dev/null | awk '/"guard":/ { inside = 1 } inside && /"pid":/ { gsub(/[^0-9]/, ""); print; exit }'
}

answers() { # of another guard than this one
    now=$(guard)
    [ -n "$now" ] && [ "$now" != "$1" ]
}

alive() { grep -q '^State:.[^ZX]' "/proc/$1/status" 2> /dev/null; }
gone() { ! alive "$1"; }
nobody_answers() { [ -z "$(guard)" ]; }
says() { "$@" > /dev/null 2>&1 && echo true || echo false; }
swap_of() { awk 'NR > 1 { print $1 }' /proc/swaps | paste -s -d ' ' -; }

own_files() { # the board's disk is read-only, services are added to /etc, and it has no /var/run
    modprobe overlay
    for name in etc var; do
        mkdir -p /run/$name/upper /run/$name/work
        mount -t overlay -o "lowerdir=/$name,upperdir=/run/$name/upper,workdir=/run/$name/work" $name /$name
    done
    [ -e /var/run ] || ln -s /run /var/run
    mkdir -p /run/lmkd-etc
    mount -o bind /run/lmkd-etc /etc/lmkd
}

sysv_set_up() {
    mkdir /run/bin
    ln -s "$(command -v busybox)" /run/bin/start-stop-daemon
    PATH=/run/bin:$PATH
    cp $FILES/S15lmkd /etc/init.d/S15lmkd
    chmod +x /etc/init.d/S15lmkd
}
sysv_start() { /etc/init.d/S15lmkd start; }
sysv_reload() { /etc/init.d/S15lmkd reload; }
sysv_stop() { /etc/init.d/S15lmkd stop; }
sysv_has_ended() { [ ! -e $PIDFILE ] || gone "$(cat $PIDFILE)"; }

openrc_set_up() {
    cp $FILES/openrc-lmkd /etc/init.d/lmkd
    # What boots the board has mounted everything: Debian's package lacks OpenRC's own services.
    printf '#!/sbin/openrc-run\nstart() { :; }\n' > /etc/init.d/localmount
    chmod +x /etc/init.d/lmkd /etc/init.d/localmount
    mkdir -p /run/openrc /etc/runlevels/default
    touch /run/openrc/softlevel
    rc-update add lmkd default
}
openrc_start() { openrc default; }
openrc_reload() { rc-service lmkd reload; }
openrc_stop() { rc-service lmkd stop; }

s6_set_up() {
    mkdir -p /run/service/lmkd
    for name in run finish notification-fd type; do cp "$FILES/s6-$name" "/run/service/lmkd/$name"; done
    chmod +x /run/service/lmkd/run /run/service/lmkd/finish
    touch /run/service/lmkd/down
    s6-svscan /run/service 3>&- 4>&- &
    until_true 50 s6-svok /run/service/lmkd
}
s6_start() { s6-svc -wU -T 30000 -u /run/service/lmkd; }
s6_reload() { lmkd reload; }
s6_stop() { s6-svc -wD -T 30000 -d /run/service/lmkd; }
s6_has_ended() { [ "$(s6-svstat -o up,wantedup /run/service/lmkd)" = 'false false' ]; }

life_below() { # way
    "$1_set_up"
    begun=$(uptime_s)
    "$1_start" 3>&- 4>&-
    started=$?
    answered=$(until_true 100 answers 0)
    first=$(guard)
    ready=$(uptime_s)
    adj=$(cat "/proc/$first/oom_score_adj")
    swap=$(swap_of)
    "$1_reload"
    reloaded=$?
    kill -9 "$first"
    killed=$(uptime_s)
    back=$(until_true 100 answers "$first")
    second=$(guard)
    back_at=$(uptime_s)
    lmkd events --json > /run/events.json
    adopted=$(says grep -q store_adopted /run/events.json)
    swap_back=$(swap_of)
    adj_back=$(cat "/proc/$second/oom_score_adj")
    "$1_stop"
    stopped=$?
    ended=$(until_true 50 gone "$second")
    sleep 3
    emit "{\"kind\": \"supervised\", \"way\": \"$1\", \"started\": $started, \"answered\": $answered, \"begun_s\": $begun, \"ready_s\": $ready, \"pid\": $first, \"adj\": $adj, \"swap\": \"$swap\", \"reloaded\": $reloaded, \"killed_s\": $killed, \"back\": $back, \"back_s\": $back_at, \"adj_back\": $adj_back, \"adopted\": $adopted, \"swap_back\": \"$swap_back\", \"stopped\": $stopped, \"ended\": $ended, \"stays_ended\": $(says nobody_answers), \"swap_left\": \"$(swap_of)\"}"
}

wrong_below() { # way; a configuration that is wrong
    echo 'nonsense: 1' > /etc/lmkd/lmkd.yaml
    begun=$(uptime_s)
    "$1_start" 3>&- 4>&-
    code=$?
    ended=$(until_true 600 "$1_has_ended")
    emit "{\"kind\": \"supervised\", \"way\": \"$1\", \"step\": \"wrong\", \"code\": $code, \"ended\": $ended, \"begun_s\": $begun, \"ended_s\": $(uptime_s)}"
    rm /etc/lmkd/lmkd.yaml
    "$1_stop"
}
own_files
