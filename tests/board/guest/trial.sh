# Owns a trial of the compression algorithms and what it leaves behind; sourced by main.sh. The manager runs.
NOTE=/run/lmkd/trial.json

zrams() { ls -d /sys/block/zram* | wc -l; }
modules() { cut -d ' ' -f 1 /proc/modules | sort | paste -s -d ' ' -; }
says() { "$@" > /dev/null 2>&1 && echo true || echo false; }
at_work() { [ -f $NOTE ] && [ "$(cat /sys/block/zram1/disksize 2> /dev/null || echo 0)" -gt 0 ]; }
dies_at_work() { # signal
    lmkd store bench --json --only algorithms --algorithm lz4hc > /run/bench.out 2>&1 &
    bench=$!
    tries=0
    until at_work || [ $tries -ge 300 ]; do tries=$((tries + 1)); sleep 0.02; done
    kill "-$1" $bench
    wait $bench
    emit "{\"kind\": \"trial\", \"step\": \"$1\", \"exit\": $?, \"zrams\": $(zrams), \"noted\": $(says test -f $NOTE)}"
}
dies_sending() { # signal, while the command's own memory is on its way to the store
    lmkd store bench --json --only pages > /run/bench.out 2>&1 &
    bench=$!
    tries=0
    until pgrep -P $bench > /dev/null || [ $tries -ge 300 ]; do tries=$((tries + 1)); sleep 0.02; done
    sleep 0.5
    kill "-$1" $bench
    wait $bench
    code=$?
    sleep 0.5
    emit "{\"kind\": \"trial\", \"step\": \"sending $1\", \"exit\": $code, \"left\": $(pgrep -f 'store bench' | wc -l)}"
}

/lmkd/load --seconds 100 --background n=4,size=6M,compress=3 > /dev/null 3>&- 4>&- &
load=$!
sleep 3
before=$(modules)
free_before=$(awk '/^VmallocUsed/ { print $2 }' /proc/meminfo)
lmkd store trial --json > /run/trial.out 2> /run/trial.err
code=$?
cat /run/trial.err
free_after=$(awk '/^VmallocUsed/ { print $2 }' /proc/meminfo)
same=false
[ "$before" = "$(modules)" ] && same=true
emit "{\"kind\": \"trial\", \"step\": \"whole\", \"exit\": $code, \"zrams\": $(zrams), \"noted\": $(says test -f $NOTE), \"same_modules\": $same, \"vmalloc_kib\": $((free_after - free_before)), \"found\": $(cat /run/trial.out)}"
begun=$(cut -d . -f 1 /proc/uptime)
lmkd store bench --json --only pages --only deaths --size 4M --apps 4 > /run/bench.out 2> /run/bench.err
code=$?
cat /run/bench.err
emit "{\"kind\": \"trial\", \"step\": \"bench\", \"exit\": $code, \"seconds\": $(($(cut -d . -f 1 /proc/uptime) - begun)), \"found\": $(cat /run/bench.out)}"
dies_sending TERM
dies_sending KILL
dies_at_work TERM
dies_at_work KILL
kill -TERM "$MANAGER_PID"
wait "$MANAGER_PID"
lmkd store down > /run/down.out 2>&1 || cat /run/down.out
LOG=/var/log/second.log
start_manager lmkd run
wait_ready 30 notify
emit "{\"kind\": \"trial\", \"step\": \"next\", \"zrams\": $(zrams), \"noted\": $(says test -f $NOTE), \"status\": $(lmkd store status --json)}"
kill $load
wait $load
lmkd_events
