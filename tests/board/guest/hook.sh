#!/bin/sh
# What lmkd runs when memory gets short (`notify` with `exec`): it notes what it was told.
echo "$LMKD_LEVEL $LMKD_RULE $LMKD_PIDS" >> /run/hook.out
