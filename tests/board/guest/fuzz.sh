# Owns hostile clients beside a load; sourced before the manager starts. Records of kind "fuzz": each process of the
# manager before and after (once that has been done before which loads what it loads once), and what the clients saw.
FUZZ="/run/lmkd/control /run/lmkd/android"

waits() { # of each process of the manager: time that it waited for the processor (ns), how often it ran
    for pid in $(manager_pids); do
        awk -v pid="$pid" '{ printf "{\"pid\": %d, \"ran_ns\": %d, \"waited_ns\": %d, \"times\": %d}\n", pid, $1, $2, $3 }' "/proc/$pid/schedstat"
    done | paste -s -d , -
}

fuzz_state() { # when
    emit "{\"kind\": \"fuzz\", \"step\": \"$1\", \"uptime_s\": $(uptime_s), \"processes\": [$(process_cost | paste -s -d , -)], \"waits\": [$(waits)]}"
}

fuzz_begin() { # seed, messages, delay in seconds; below the foreground, for any program may burn the processor beside it
    (
        until grep -q '"event":"ready"' "$LOG" 2> /dev/null; do sleep 0.2; done
        MANAGER_PID=$(sed -n 's/.*"event":"ready".*"pid":\([0-9]*\).*/\1/p' "$LOG")
        /lmkd/listeners 1 0 > /run/listener.out 2>&1 3>&- 4>&- & # the talker stays while there is this one
        nice -n 10 /lmkd/fuzz "$1" 1500 $FUZZ > /run/warm.out 2>&1 3>&- 4>&-
        sleep "$3"
        fuzz_state before
        nice -n 10 /lmkd/fuzz "$1" "$2" $FUZZ > /run/fuzz.out 2>&1 3>&- 4>&-
        echo $? > /run/fuzz.code
        fuzz_state after
    ) &
    FUZZING=$!
}

fuzz_end() {
    wait $FUZZING
    fuzz_state end
    emit "{\"kind\": \"fuzz\", \"step\": \"clients\", \"exit\": $(cat /run/fuzz.code), \"said\": $(cat /run/fuzz.out), \"status\": $(lmkd status --json | tr '\n' ' '), \"told\": $(grep -c '^notice' /run/listener.out)}"
    emit "{\"kind\": \"fuzz\", \"step\": \"log\", \"tracebacks\": $(grep -c Traceback "$LOG")}"
}
