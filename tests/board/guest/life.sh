# Owns the life of the service from its second minute on: killed, started again, reloaded, stopped; sourced by main.sh.
# Each step is one record of kind "life". The manager runs, with no configuration.
SWAP_DISK=/sys/block/zram0/disksize

life() { # step, fields as JSON
    emit "{\"kind\": \"life\", \"step\": \"$1\", $2}"
}

says() { "$@" > /dev/null 2>&1 && echo true || echo false; }

logged() { # event, how often at least
    [ "$(grep -c "\"event\":\"$1\"" "$LOG")" -ge "${2:-1}" ]
}

gone() { ! grep -q '^State:.[^ZX]' "/proc/$1/status"; }
alive() { ! gone "$1"; }
helper_of() { manager_pids | grep -v "^$1$" | head -n 1; }
swap_kib() { awk 'NR > 1 { used += $4 } END { print used + 0 }' /proc/swaps; }
adj_is() { [ "$(cat "/proc/$1/oom_score_adj")" = "$2" ]; }
keeper_says() { grep -c "$1" /run/keeper.out; }
said_twice() { [ "$(keeper_says intact)" -ge 2 ]; }

rules() { # file, priority of the keeper
    printf 'stall_budget: 33ms\napps:\n  - name: keeper\n    match: {comm: keeper}\n    priority: %s\n' "$2" > "$1"
}

store_is() {
    echo "\"swap_kib\": $(swap_kib), \"disk_bytes\": $(cat $SWAP_DISK), \"swaps\": $(($(wc -l < /proc/swaps) - 1))"
}

fill_store() { # an application whose pages lie in the store
    mkdir /sys/fs/cgroup/keeper
    sh -c 'echo $$ > /sys/fs/cgroup/keeper/cgroup.procs; exec /lmkd/keeper 24' > /run/keeper.out 3>&- 4>&- &
    KEEPER=$!
    filled=$(until_true 100 grep -q filled /run/keeper.out)
    echo 20M > /sys/fs/cgroup/keeper/memory.reclaim
    life filled "\"filled\": $filled, $(store_is)"
}

kill_guard() {
    helper=$(helper_of "$MANAGER_PID")
    kill -9 "$MANAGER_PID"
    wait "$MANAGER_PID"
    life killed "\"helper\": ${helper:-null}, \"helper_gone\": $(until_true 50 gone "${helper:-1}"), $(store_is)"
}

start_again() {
    LOG=/var/log/second.log
    rules /run/lmkd.yaml 600
    start_manager lmkd run --config /run/lmkd.yaml
    wait_ready 30 notify
    mirrored=$(until_true 50 adj_is "$KEEPER" 600)
    stored="$(store_is)"
    kill -USR1 "$KEEPER"
    asked=$(until_true 50 grep -qE 'intact|lost' /run/keeper.out)
    life adopted "\"mirrored\": $mirrored, \"answered\": $asked, \"intact\": $(keeper_says intact), $stored"
}

reload_good() {
    rules /run/lmkd.yaml 800
    kill -HUP "$MANAGER_PID"
    came=$(until_true 100 logged reload)
    life reloaded "\"recorded\": $came, \"in_force\": $(until_true 50 adj_is "$KEEPER" 800)"
}

reload_bad() {
    printf 'stall_budget: 33\napps:\n  - name: keeper\n    macth: {comm: keeper}\n' > /run/lmkd.yaml
    kill -HUP "$MANAGER_PID"
    came=$(until_true 100 logged reload_failed)
    life refused "\"recorded\": $came, \"guard_alive\": $(says alive "$MANAGER_PID"), \"rules_kept\": $(says adj_is "$KEEPER" 800)"
    rules /run/lmkd.yaml 700
    kill -HUP "$MANAGER_PID"
    came=$(until_true 100 logged reload 2)
    life mended "\"recorded\": $came, \"in_force\": $(until_true 50 adj_is "$KEEPER" 700)"
}

start_second() {
    lmkd run > /run/second.out 2>&1
    code=$?
    cat /run/second.out
    told=$(says grep -q "another lmkd guards this board: process $MANAGER_PID " /run/second.out)
    life second "\"exit\": $code, \"told\": $told, \"guard_alive\": $(says alive "$MANAGER_PID")"
}

stop_service() {
    helper=$(helper_of "$MANAGER_PID")
    begun=$(uptime_s)
    kill -TERM "$MANAGER_PID"
    ended=$(until_true 100 gone "$MANAGER_PID")
    wait "$MANAGER_PID"
    code=$?
    life stopped "\"ended\": $ended, \"exit\": $code, \"begun_s\": $begun, \"ended_s\": $(uptime_s), \"helper_gone\": $(says gone "${helper:-1}"), \"socket_left\": $(says test -e /run/lmkd/control), $(store_is)"
}

store_down() {
    lmkd store down > /run/down.out 2>&1
    code=$?
    cat /run/down.out
    kill -USR1 "$KEEPER"
    asked=$(until_true 50 said_twice)
    life down "\"exit\": $code, \"answered\": $asked, \"intact\": $(keeper_says intact), \"swaps\": $(($(wc -l < /proc/swaps) - 1))"
}

FIRST_LOG=$LOG
fill_store
kill_guard
start_again
reload_good
reload_bad
start_second
stop_service
store_down
board_settings after
lmkd_events
show_log
LOG=$FIRST_LOG
