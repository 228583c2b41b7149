# Owns a manager of applications that speaks Android's protocol, and what it sees; sourced by main.sh while the service
# runs with android_release 15. Each step is one record of kind "android". android.c prints what it is told.
SOCKET=/dev/socket/lmkd
CONFIG=/run/lmkd-etc/lmkd.yaml

android() { # step, fields as JSON
    emit "{\"kind\": \"android\", \"step\": \"$1\", $2}"
}

lines_of() { # a file as a list of its lines
    echo "[$(sed 's/.*/"&"/' "$1" | paste -s -d , -)]"
}

adj_of() { cat "/proc/$1/oom_score_adj"; }

ranked() { # pids; for each what "lmkd ps" says: its place from the first to die on, its priority
    lmkd ps --json > /run/ps.json
    for pid in "$@"; do
        awk -v pid="$pid" '{ sub(",", "", $2) } /"order":/ { order = $2 } /"pid":/ { mine = $2 == pid }
            mine && /"priority":/ { printf "[%d, %d]\n", order, $2 }' /run/ps.json
    done | paste -s -d , -
}

application() { # MB; an application that has filled them
    choom -n 0 -- /lmkd/keeper "$1" > "/run/app.$1" 3>&- 4>&- &
    APP=$!
    until_true 100 grep -q filled "/run/app.$1" > /dev/null
}

client() { # name, commands: runs beside us, and ends by itself
    name=$1
    shift
    /lmkd/android $SOCKET "$@" > "/run/client.$name" 2>&1 < /dev/null 3>&- 4>&- &
    CLIENT=$!
}

says_line() { # name, pattern
    until_true 100 grep -q "$2" "/run/client.$1"
}

application 60
LARGE=$APP
application 9
SMALL=$APP
application 8
OTHER=$APP

client owner purge target 18432 0 subscribe 0 subscribe 1 prio4 $LARGE 10101 900 0 batch $SMALL $OTHER 10102 500 count -1000 1000 notices 99
OWNER=$CLIENT
registered=$(says_line owner reply)
android registered "\"answered\": $registered, \"ranked\": [$(ranked $LARGE $SMALL $OTHER)], \"adj\": [$(adj_of $LARGE), $(adj_of $SMALL), $(adj_of $OTHER)], \"pids\": [$LARGE, $SMALL, $OTHER]"

client thief prio $LARGE 10101 0 remove $SMALL purge count 0 1000
android owned "\"answered\": $(says_line thief reply), \"adj\": [$(adj_of $LARGE), $(adj_of $SMALL), $(adj_of $OTHER)]"
client watcher subscribe 0 count 900 900 notices 1
says_line watcher reply > /dev/null

run_load --seconds 12 --seed 1 --heartbeat period_ms=20,anon=24M,file=7M,path=/lmkd/fg.dat,adj=0 \
    --grow name=camera,rate=20M,limit=150M,compress=1,adj=0,delay=1
until_true 20 grep -q statistics /run/client.owner > /dev/null
client counter count 900 900 count 1001 1001 boot
says_line counter 'reply 10' > /dev/null
android killed "\"pid\": $LARGE, \"owner\": $(lines_of /run/client.owner), \"watcher\": $(lines_of /run/client.watcher), \"counter\": $(lines_of /run/client.counter)"

reload() { # what to change in the configuration, by sed; the client that asks for it
    sed -i "$1" $CONFIG
    client "$2" props
    says_line "$2" reply > /dev/null
}

end_one() { # MB, the client that registers it, its command's name; a process that lmkd is told to end
    application "$1"
    client "$2" subscribe 0 "$3" $APP 10103 950 $4 count 0 0 notices 1
    says_line "$2" 'reply 4' > /dev/null
    lmkd kill --yes $APP > /run/kill.out 2>&1
    until_true 30 grep -q killed "/run/client.$2" > /dev/null
}

reload 's/runaway: false/runaway: true/' props
end_one 7 later prio
android reloaded "\"pid\": $APP, \"props\": $(lines_of /run/client.props), \"later\": $(lines_of /run/client.later), \"owner\": $(lines_of /run/client.owner)"
reload 's/android_release: 15/android_release: 16/' other
end_one 6 recent prio4 0
android recent "\"pid\": $APP, \"props\": $(lines_of /run/client.other), \"recent\": $(lines_of /run/client.recent)"
kill $OWNER 2> /dev/null
