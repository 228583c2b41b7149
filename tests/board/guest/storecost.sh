# Owns the comparison of the stores page by page: cost out, cost back, cost of what is refused; sourced by main.sh.
# One record of kind "pagecost" a measurement. To see them: python -m tests.board shell '. /lmkd/guest/measure.sh;
# emit() { echo "$1"; }; . /lmkd/guest/storecost.sh; store_costs'
MB=${MB:-16}

pagecost() { # store, ratio, order
    emit "{\"kind\": \"pagecost\", \"store\": \"$1\", \"ratio\": $2, \"order\": \"$3\", \"cost\": $(/lmkd/pagecost "$MB" "$2" "$3")}"
}

pagecost_two() { # store: two processes at once, so that one could work while the other waits
    /lmkd/pagecost "$MB" 3 random > /run/one &
    one=$!
    /lmkd/pagecost "$MB" 3 random > /run/two
    wait $one
    emit "{\"kind\": \"pagecost\", \"store\": \"$1\", \"ratio\": 3, \"order\": \"two at once\", \"cost\": $(cat /run/two), \"other\": $(cat /run/one)}"
}

costs_of() { # store
    for ratio in 3 2 1; do
        pagecost "$1" $ratio random
    done
    pagecost "$1" 3 forward
    pagecost_two "$1"
}

store_up() { # kind, pool
    printf 'store: {kind: %s, pool: %s, algorithm: lz4, mem_limit: 60%%}\n' "$1" "$2" > /run/store.yaml
    lmkd store up --config /run/store.yaml > /run/up.out 2>&1 || cat /run/up.out
}

store_costs() {
    store_up zram auto
    costs_of zram
    echo 4096 > /sys/block/zram0/mem_limit
    pagecost "zram at its limit" 3 random
    lmkd store down > /dev/null 2>&1
    for pool in zsmalloc zbud z3fold; do
        store_up zswap $pool
        costs_of "zswap $pool"
        if [ $pool = zsmalloc ]; then
            echo 0 > /sys/module/zswap/parameters/max_pool_percent
            pagecost "zswap, pool full" 3 random
            echo 70 > /sys/module/zswap/parameters/max_pool_percent
        fi
        lmkd store down > /dev/null 2>&1
    done
    mount -t tmpfs -o size=64k none /etc/modprobe.d
    echo 'install dm_mod /bin/false' > /etc/modprobe.d/none.conf
    rmmod dm_mod
    store_up zswap zsmalloc
    costs_of "zswap zsmalloc, closed zram"
    lmkd store down > /dev/null 2>&1
}
