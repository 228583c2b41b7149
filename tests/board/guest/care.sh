# Owns the care of memory that is not a kill: trimming, the foreground's shield; sourced by main.sh.
# The manager runs, with a configuration that names the heartbeat.
UI=/sys/fs/cgroup/ui
OWN=/sys/fs/cgroup/own

inside() { # cgroup, oom_score_adj, output, command: runs it in a group of its own
    group=$1 adj=$2 output=$3
    shift 3
    mkdir -p "$group"
    sh -c 'echo $$ > "$0/cgroup.procs"; echo "$1" > /proc/self/oom_score_adj; shift; exec "$@"' \
        "$group" "$adj" "$@" > "$output" 3>&- 4>&- &
}

inside $OWN 950 /run/keeper.out /lmkd/keeper 24
KEEPER=$!
inside $UI 0 /run/ui.out /lmkd/load --seconds 14 --seed 1 --heartbeat period_ms=20,anon=24M,file=7M,path=/lmkd/fg.dat,adj=0
SHOWN=$!
sleep 1.5
/lmkd/load --seconds 16 --seed 1 --background n=6,size=12M,adj=900,compress=3 \
    --grow rate=30M,limit=120M,compress=3,adj=200,delay=1 > /run/idle.out 3>&- &
IDLE=$!
sleep 8
low_kib=$(($(cat $UI/memory.low) / 1024))
wait $SHOWN $IDLE
kill -USR1 "$KEEPER"
sleep 1
intact=false
grep -q intact /run/keeper.out && intact=true
kill -TERM "$MANAGER_PID"
wait "$MANAGER_PID"
emit "{\"kind\": \"care\", \"low_kib\": $low_kib, \"low_after_kib\": $(($(cat $UI/memory.low) / 1024)), \"intact\": $intact, \"ui\": $(tail -n 1 /run/ui.out), \"idle\": $(tail -n 1 /run/idle.out)}"
lmkd_events
show_log
