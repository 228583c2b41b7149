# Owns the steps of a scenario inside the guest; sourced by the script that scenario.py renders.
# Records go to descriptor 3 (one JSON object a line), text to descriptor 4 (also standard output).
LOG=/var/log/manager.log
NOTICES=/run/notices
MANAGER_PID=
STARTED=0

emit() { echo "$1" >&3; }

uptime_s() { cut -d ' ' -f 1 /proc/uptime; }

until_true() { # tenths of a second at most, command; "true" or "false"
    left=$1
    shift
    while [ "$left" -gt 0 ]; do
        if "$@" > /dev/null 2>&1; then echo true; return; fi
        left=$((left - 1))
        sleep 0.1
    done
    echo false
}

protect_script() { # the kernel may not kill what measures; what is measured starts through unprotected
    echo -1000 > "/proc/$$/oom_score_adj"
}

unprotected() { # the command, as a service manager would start it
    exec 3>&- 4>&-
    export NOTIFY_SOCKET=/run/notify
    exec choom -n 0 -- "$@" > "$LOG" 2>&1
}

zram_swap() { # MB; what a distribution sets up for a board without lmkd
    modprobe zram
    echo lz4 > /sys/block/zram0/comp_algorithm
    echo "$1M" > /sys/block/zram0/disksize
    mkswap /dev/zram0 > /dev/null
    swapon /dev/zram0
}

start_manager() { # command and its arguments
    rm -f /run/notify
    /lmkd/notify /run/notify > $NOTICES 2>&1 3>&- 4>&- &
    until [ -S /run/notify ]; do sleep 0.02; done
    STARTED=$(uptime_s)
    (unprotected "$@") &
    MANAGER_PID=$!
}

follow_log() { # each line of the manager's log goes to the host as it is written
    until [ -e "$LOG" ]; do sleep 0.02; done
    /lmkd/follow "$LOG" >&4 3>&- &
}

wait_ready() { # seconds at most, "notify" or "alive"; the record has the time at which the notice came
    begun=$(cut -d . -f 1 /proc/uptime)
    ready=false after=null
    while kill -0 "$MANAGER_PID" 2> /dev/null; do
        now=$(cut -d . -f 1 /proc/uptime)
        if [ "$2" = alive ] && [ $((now - begun)) -ge 2 ]; then ready=true; break; fi
        if [ "$2" = notify ] && grep -q READY=1 $NOTICES; then
            ready=true
            after=$(awk -v begun="$STARTED" '/READY=1/ { printf "%.3f", $1 - begun; exit }' $NOTICES)
            break
        fi
        [ $((now - begun)) -ge "$1" ] && break
        sleep 0.1
    done
    emit "{\"kind\": \"manager\", \"manager_ready\": $ready, \"ready_after_s\": $after}"
}

manager_pids() { # the manager's process and all below it
    [ -n "$MANAGER_PID" ] || return 0
    cat /proc/[0-9]*/stat 2> /dev/null | sed 's/(.*)/-/' | awk -v top="$MANAGER_PID" '
        { parent[$1] = $4 }
        END { for (pid in parent) { at = pid; hops = 0
                while (at > 1 && at != top && hops++ < 20) at = parent[at]
                if (at == top) print pid } }' | sort -n
}

counters() { # CPU ticks (10 ms), run time in ns, context switches (voluntary, all); of the living and their dead children
    for pid in $(manager_pids); do
        sed 's/.*) //' "/proc/$pid/stat" | awk '{ print "ticks", $12 + $13 + $14 + $15 }'
        awk '{ print "ns", $1 }' /proc/"$pid"/task/*/schedstat
        awk '/^voluntary_ctxt/ { print "wakeups", $2 } /ctxt_switches/ { print "switches", $2 }' \
            /proc/"$pid"/task/*/status
    done 2> /dev/null | awk '{ sum[$1] += $2 }
        END { printf "%d %.0f %d %d\n", sum["ticks"], sum["ns"], sum["wakeups"], sum["switches"] }'
}

process_cost() { # one JSON object a process of the manager
    for pid in $(manager_pids); do
        cat "/proc/$pid/status" "/proc/$pid/smaps_rollup" 2> /dev/null | awk -v pid="$pid" '
            /^(Name|VmLck|VmHWM|VmRSS|Threads|Pss|SwapPss):/ { sub(":", "", $1); value[$1] = $2 }
            END { printf "{\"pid\": %d, \"name\": \"%s\", \"pss_kib\": %d, \"swap_pss_kib\": %d, \"rss_kib\": %d, ",
                    pid, value["Name"], value["Pss"], value["SwapPss"], value["VmRSS"]
                  printf "\"peak_rss_kib\": %d, \"locked_kib\": %d, \"threads\": %d}\n",
                    value["VmHWM"], value["VmLck"], value["Threads"] }'
    done
}

oom_kills() { awk '$1 == "oom_kill" { print $2 }' /proc/vmstat; }

board_state() { # when
    awk -v when="$1" '/^(MemTotal|MemFree|MemAvailable|SwapTotal|SwapFree):/ { sub(":", "", $1); kib[$1] = $2 }
        END { printf "{\"kind\": \"board\", \"when\": \"%s\", \"mem_total_kib\": %d, \"mem_free_kib\": %d, ",
                when, kib["MemTotal"], kib["MemFree"]
              printf "\"mem_available_kib\": %d, \"swap_total_kib\": %d, \"swap_free_kib\": %d}\n",
                kib["MemAvailable"], kib["SwapTotal"], kib["SwapFree"] }' /proc/meminfo >&3
}

begin_window() {
    BEFORE=$(counters)
    OOM_BEFORE=$(oom_kills)
    WINDOW_BEGUN=$(uptime_s)
}

end_window() { # what the manager cost since begin_window
    ended=$(uptime_s)
    after=$(counters)
    alive=false
    [ -n "$MANAGER_PID" ] && kill -0 "$MANAGER_PID" 2> /dev/null && alive=true
    processes=$(process_cost)
    total=$(echo "$processes" | sed 's/.*"pss_kib": \([0-9]*\), "swap_pss_kib": \([0-9]*\).*"locked_kib": \([0-9]*\).*/\1 \2 \3/' |
        awk '{ pss += $1; swap += $2; locked += $3 } END { printf "%d %d %d", pss, swap, locked }')
    echo "$BEFORE $after $WINDOW_BEGUN $ended $total $OOM_BEFORE $(oom_kills) $alive" | awk '{
        printf "{\"kind\": \"cost\", \"manager_cpu_ticks\": %d, \"manager_cpu_ms\": %.1f, ", $5 - $1, ($6 - $2) / 1e6
        printf "\"manager_wakeups\": %d, \"manager_switches\": %d, \"window_s\": %.2f, ", $7 - $3, $8 - $4, $10 - $9
        printf "\"manager_pss_kib\": %d, \"manager_swap_pss_kib\": %d, \"manager_locked_kib\": %d, ", $11, $12, $13
        printf "\"oom_kill_delta\": %d, \"manager_alive\": %s, \"processes\": [", $15 - $14, $16 }' > /run/cost
    echo "$(cat /run/cost)$(echo "$processes" | paste -s -d , -)]}" >&3
}

run_load() { # the load generator and its arguments
    /lmkd/load "$@" > /run/load.out 3>&- &
    wait $!
    code=$?
    if [ -s /run/load.out ] && grep -q '}$' /run/load.out; then
        emit "{\"kind\": \"load\", \"load_exit\": $code, \"result\": $(tail -n 1 /run/load.out)}"
    else
        echo "the load generator ended with $code and printed nothing"
    fi
}

lmkd_events() { # lmkd's own account of what it did, from the log on its standard error; a record an event
    sleep 1 # its helper writes the log, at low priority
    sed -n 's/^lmkd: \({.*}\)$/{"kind": "lmkd_event", "event": \1}/p' "$LOG" >&3
}

idle_costs() { # seconds, windows; what each process of the manager costs while nothing is started
    emit "{\"kind\": \"idle\", \"seconds\": $1, \"windows\": $(/lmkd/costs "$1" "$2" $(manager_pids))}"
}

board_settings() { # when; what the service may not touch in a dry run, or must put back
    values=$(cd /proc/sys/vm && for name in swappiness page-cluster watermark_boost_factor watermark_scale_factor; do
        echo "\"$name\": $(cat $name)"
    done | paste -s -d , -)
    emit "{\"kind\": \"settings\", \"when\": \"$1\", \"lru_gen\": \"$(cat /sys/kernel/mm/lru_gen/enabled)\", $values, \"swaps\": $(($(wc -l < /proc/swaps) - 1)), \"zram_limit\": $(awk '{ print $4 }' /sys/block/zram0/mm_stat 2> /dev/null || echo null)}"
}

show_log() {
    [ -s "$LOG" ] || return 0
    echo "--- the manager's log, last 200 lines"
    tail -n 200 "$LOG"
}

wake_cost() { # processes in all, seconds; what page faults, which wake the guard, cost it beside so many processes
    have=$(ls -d /proc/[0-9]* | wc -l)
    /lmkd/load --seconds 4000 --small "n=$(($1 - have)),size=16K" > /dev/null 3>&- &
    load=$!
    tries=0
    until [ "$(ls -d /proc/[0-9]* | wc -l)" -ge "$1" ] || [ $tries -ge 600 ]; do tries=$((tries + 1)); sleep 0.2; done
    sleep 4 # the helper has seen them all
    /lmkd/faults $(($2 + 3)) &
    faults=$!
    sleep 1
    emit "{\"kind\": \"wakecost\", \"wanted\": $1, \"processes\": $(ls -d /proc/[0-9]* | wc -l), \"seconds\": $2, \"windows\": $(/lmkd/costs "$2" 1 "$MANAGER_PID")}"
    wait $faults
    kill -KILL $load # and with it all its children
    wait $load
    sleep 2
}
