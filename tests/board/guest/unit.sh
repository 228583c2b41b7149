# Owns the life of lmkd as a unit of systemd: started at boot, killed, reloaded, hung. Sourced by main.sh.
# Each step is one record of kind "unit".
FEATURES='[row["name"] for row in json.load(open(sys.argv[1]))["features"] if row["present"]]'

of_unit() { systemctl show -p "$1" --value lmkd; }
is_up() { [ "$(of_unit SubState)" = running ]; }
restarted() { is_up && [ "$(of_unit NRestarts)" = "$1" ]; }
logged() { [ "$(grep -c "\"event\":\"$1\"" "$LOG")" -ge "$2" ]; }
swap_of() { awk 'NR > 1 { print $1 }' /proc/swaps | paste -s -d ' ' -; }

unit() { # step, fields as JSON
    pid=$(of_unit MainPID)
    emit "{\"kind\": \"unit\", \"step\": \"$1\", \"state\": \"$(of_unit ActiveState)\", \"restarts\": $(of_unit NRestarts), \"status\": \"$(of_unit StatusText)\", \"result\": \"$(of_unit Result)\", \"pid\": $pid, \"adj\": $(cat "/proc/$pid/oom_score_adj"), \"swap\": \"$(swap_of)\", $2}"
}

await_unit() { # in place of start_manager
    until_true 600 is_up
    MANAGER_PID=$(of_unit MainPID)
}

features_of() { python3 -c "import json, sys; print(json.dumps($FEATURES))" "$1"; }

unit_life() {
    lmkd doctor --json > /run/doctor.json
    unit started "\"inside\": $(features_of /run/doctor-inside.json), \"outside\": $(features_of /run/doctor.json)"

    sleep 18
    unit idle "\"group\": \"$(of_unit ControlGroup)\""

    kill -9 "$(of_unit MainPID)"
    back=$(until_true 300 restarted 1)
    unit killed "\"back\": $back, \"adopted\": $(until_true 50 logged store_adopted 1)"

    systemctl reload lmkd
    good=$?
    mount -t tmpfs none /etc/lmkd
    echo 'nonsense: 1' > /etc/lmkd/lmkd.yaml
    systemctl reload lmkd
    unit reloaded "\"good\": $good, \"bad\": $?"
    umount /etc/lmkd

    begun=$(uptime_s)
    kill -STOP "$(of_unit MainPID)"
    back=$(until_true 400 restarted 2)
    unit hung "\"back\": $back, \"begun_s\": $begun, \"ended_s\": $(uptime_s)"

    systemctl stop lmkd
    emit "{\"kind\": \"unit\", \"step\": \"stopped\", \"result\": \"$(of_unit Result)\", \"swap\": \"$(swap_of)\"}"
    lmkd_events
}
