# Owns what a person at the board's serial console sees; sourced by main.sh. One record of kind "view".

serial_view() { # pictures
    dmesg -n 1 # the kernel's own lines come between ours else
    before=$(stty -g < /dev/ttyAMA0)
    TERM=vt100 lmkd status --watch --interval 1s --count "$1" < /dev/ttyAMA0 > /dev/ttyAMA0 2>&1
    code=$?
    restored=false
    [ "$(stty -g < /dev/ttyAMA0)" = "$before" ] && restored=true
    emit "{\"kind\": \"view\", \"exit\": $code, \"restored\": $restored}"
}
