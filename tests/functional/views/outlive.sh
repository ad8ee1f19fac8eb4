#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Views over the death of the daemon, an upgrade, a stop, and the death of the mount.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse jq
f3_volume data - namespace=guest
f3_volume objects "file://$F3_STORE/objects" default-class=durable namespace=guest
f3_start
export F3_HINT_SOCKET=$F3_RUN/hint.sock
views=$F3_RUN/views
mkdir -p "$F3_MNT/data/a" "$F3_MNT/objects/o"
echo content >"$F3_MNT/data/a/f"
echo object >"$F3_MNT/objects/o/f"

bind() # NAME VOLUME PATH MODE
{
	f3hint send "{\"op\":\"bind\",\"view\":\"$1\",\"namespace\":\"guest\",\"volume\":\"$2\",\"path\":\"$3\",\"mode\":\"$4\"}"
}
unbind() { f3hint send "{\"op\":\"unbind\",\"view\":\"$1\"}"; }
pid() { ctl --json status 2>/dev/null | jq .pid; }
another() { local now; now=$(pid) && [ -n "$now" ] && [ "$now" != "$F3_PID" ] && F3_PID=$now; }
die()
{
	kill -KILL "$F3_PID"
	f3_until 60 another || f3_fail "it was not started again"
}
states() { ctl --json view list | jq -r '.views[] | .view + " " + .state' | sort | tr '\n' ' '; }
# The mount that is there, by number: a bind made anew has another one.
mount_id() { awk -v d="$views/$1" '$5 == d { print $1 }' /proc/self/mountinfo; }
shown() { cat "$views/v/f" "$views/o/f" 2>&1 | tr '\n' ' '; }

f3_eq "bound" "$(bind v data /a rw | jq .new)" true
f3_eq "bound" "$(bind o objects /o ro | jq .new)" true
before="$(mount_id v) $(mount_id o)"
exec 5<>"$views/v/f"

# kill -9: what is open goes on, the mounts are the same, and both may be said again and taken back.
die
f3_eq "shown" "$(shown)" "content object "
f3_eq "the same mounts" "$(mount_id v) $(mount_id o)" "$before"
f3_eq "known" "$(states)" "o bound v bound "
f3_eq "said again" "$(bind v data /a rw | jq .new)" false
f3_no 1 EEXIST bind v data / rw
echo more >&5
f3_eq "written" "$(head -n 1 "$F3_MNT/data/a/f")" more
echo content >"$F3_MNT/data/a/f"

f3_ok ctl upgrade >/dev/null
F3_PID=$(pid)
f3_eq "shown after an upgrade" "$(shown)" "content object "
f3_eq "the same mounts" "$(mount_id v) $(mount_id o)" "$before"
f3_eq "known" "$(states)" "o bound v bound "

# What was made and not recorded was promised to nobody; what is recorded and gone is made again.
kill -STOP "$F3_SUPERVISOR"
mkdir "$views/stale"
mount --bind "$F3_MNT/data" "$views/stale"
umount "$views/o"
printf garbage >"$F3_CACHE/views/broken"
printf '{"view":"other","volume":"data","path":"/","mode":"rw"}' >"$F3_CACHE/views/named"
printf '{"view":"oldboot","volume":"data","path":"/","mode":"rw","boot":"x","made":true}' >"$F3_CACHE/views/oldboot"
mkdir "$views/oldboot"
printf x >"$F3_CACHE/views/.new.7"
was=$F3_PID
kill -KILL "$was"
kill -CONT "$F3_SUPERVISOR"
f3_until 60 another || f3_fail "it was not started again"
f3_becomes 60 "bound again" "o bound v bound " states
f3_eq "shown" "$(shown)" "content object "
f3_mounted "$views/stale" && f3_bad "a mount that nobody was promised is left"
f3_eq "directories" "$(find "$views" -mindepth 1 -maxdepth 1 -printf '%f ' | tr ' ' '\n' | sort | tr '\n' ' ')" "o stale v "
f3_eq "records" "$(find "$F3_CACHE/views" -type f -printf '%f ' | tr ' ' '\n' | sort | tr '\n' ' ')" "o v "
grep -q 'record of view broken cannot be understood' "$F3_LOG" || f3_bad "nothing was said of a broken record"
rmdir "$views/stale"

# A stop takes them away and nothing else holds the mount; the next daemon binds them again.
exec 5>&-
f3_closed
f3_stop
f3_unmounted "$views/v"
f3_unmounted "$views/o"
f3_start
f3_becomes 60 "bound again" "o bound v bound " states
f3_eq "shown" "$(shown)" "content object "

# Both processes die, and the mount with them.
f3_kill
f3_start
f3_becomes 60 "bound again" "o bound v bound " states
f3_eq "shown" "$(shown)" "content object "

# What is not there any more is told, and not bound to something else.
f3_stop
sed -i 's/^namespace = guest$/namespace = other/' "$F3_CONF"
f3_start
f3_becomes 60 "not bound again" "o failed v failed " states
f3_match "why" "$(ctl view list)" 'failed +namespace guest may not bind volume'
f3_no 1 EACCES bind v data /a rw
f3_stop
sed -i 's/^namespace = other$/namespace = guest/' "$F3_CONF"
f3_start
f3_becomes 60 "bound again" "o bound v bound " states
rm -r "$F3_MNT/data/a"
f3_kill
f3_start
f3_becomes 60 "one is gone" "o bound v failed " states
f3_match "why" "$(ctl --json view list | jq -r '.views[] | select(.view == "v") | .reason')" '/data/a: there: No such file'
mkdir "$F3_MNT/data/a"
echo content >"$F3_MNT/data/a/f"
f3_eq "tried again when asked" "$(bind v data /a rw | jq .ok)" true
f3_eq "shown" "$(shown)" "content object "
f3_eq "unbound" "$(unbind v | jq .was_bound)" true
die
f3_eq "known" "$(states)" "o bound "
[ ! -e "$views/v" ] || f3_bad "v is there"
f3_eq "unbound" "$(unbind o | jq .was_bound)" true
f3_stop
f3_unmounted "$views"

# Without a worker to ask it is the supervisor that takes them away.
f3_start
f3_ok bind v data /a rw >/dev/null
kill -STOP "$F3_SUPERVISOR"
kill -KILL "$F3_PID"
kill -TERM "$F3_SUPERVISOR"
kill -CONT "$F3_SUPERVISOR"
f3_wait && f3_bad "ended as if nothing had happened"
f3_unmounted "$F3_MNT"
f3_unmounted "$views/v"
