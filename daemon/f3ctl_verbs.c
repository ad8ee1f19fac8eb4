/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verbs of f3ctl. A row here is all it takes to have one in --help, in the completion and in
 * the manual.
 */
#include "config.h"

#include "daemon/f3ctl.h"

const struct f3ctl_verb f3ctl_verbs[] = {
	{
		.name = "status",
		.help = "the daemon, its volumes and space, what is dirty",
		.more = "Also which transport requests come by, whether files are passed through to the "
			"kernel and if not why, and how many are open in which way. While no daemon serves, what "
			"its supervisor does about it, and exit code 1; pid is then that of a daemon that is "
			"starting, or 0.",
		.run = f3ctl_status,
	},
	{
		.name = "info",
		.args = "PATH...",
		.help = "everything known of a file",
		.more = "Its class and who chose it, its state, what of it is here, its backing file, how "
			"the kernel reaches its bytes and why not directly, whether the object store has it "
			"yet. Symbolic links are shown, not followed.",
		.completes = F3CTL_PATHS,
		.run = f3ctl_info,
	},
	{
		.name = "ls",
		.args = "[PATH...]",
		.help = "names with class, state and where the bytes are",
		.more = "PLACE is here, part (some ranges are), or store (nothing is here). STORE says whether "
			"the object store has the file as it is now: yes, no, attributes (the bytes, but not "
			"the newest attributes), or nothing where it need not have it.",
		.completes = F3CTL_PATHS,
		.options = f3ctl_ls_options,
		.run = f3ctl_ls,
	},
	{
		.name = "class",
		.args = "CLASS PATH...",
		.help = "move files to another class",
		.more = "Sets the attribute user.f3.class: a file is moved, and the class sticks to it; a "
			"directory hands it down to what is made in it from now on. Waits until the bytes are "
			"where the class wants them. Files that are open move at their last close where their "
			"bytes have to change places.",
		.completes = F3CTL_WORD_THEN_PATHS,
		.words = "memory ephemeral writeback durable",
		.options = f3ctl_class_options,
		.run = f3ctl_class,
	},
	{
		.name = "warm",
		.args = "PATH...",
		.help = "fetch files from the store, whole",
		.completes = F3CTL_PATHS,
		.options = f3ctl_warm_options,
		.run = f3ctl_warm,
	},
	{
		.name = "evict",
		.args = "PATH...",
		.help = "drop the local copies of files the store has",
		.more = "What is open, mapped, pinned or not in the store stays: an error for a file that "
			"is named, a number in the sum below a directory.",
		.completes = F3CTL_PATHS,
		.options = f3ctl_evict_options,
		.run = f3ctl_evict,
	},
	{
		.name = "pin",
		.args = "PATH...",
		.help = "keep files from being evicted",
		.more = "Nothing is fetched: see warm.",
		.completes = F3CTL_PATHS,
		.options = f3ctl_pin_options,
		.run = f3ctl_pin,
	},
	{
		.name = "unpin",
		.args = "PATH...",
		.help = "let them be evicted again",
		.completes = F3CTL_PATHS,
		.options = f3ctl_pin_options,
		.run = f3ctl_unpin,
	},
	{
		.name = "sync",
		.args = "[PATH...]",
		.help = "wait until nothing is dirty",
		.more = "Files that are written to are made durable as they are now. Without a path all "
			"volumes.",
		.completes = F3CTL_PATHS,
		.run = f3ctl_sync,
	},
	{
		.name = "view",
		.args = "bind NAME PLACE | unbind NAME... | list",
		.help = "show a directory to one container: run-dir/views/NAME",
		.more = "PLACE is VOLUME:/PATH or a directory on the mount. A view is a bind mount of it, "
			"nosuid and nodev, with nothing of the rest of the mount behind it. A container that was "
			"given the directory before with propagation rslave sees it appear. unbind takes the "
			"path away; what programs have open there they keep. Views outlive the daemon.",
		.completes = F3CTL_WORD_THEN_PATHS,
		.words = "bind unbind list",
		.options = f3ctl_view_options,
		.run = f3ctl_view,
	},
	{
		.name = "volume",
		.args = "list | add NAME [URL] [KEY=VALUE...] | remove NAME",
		.help = "show, add and remove volumes while the daemon runs",
		.more = "An added volume stays over restarts; its settings are those of [volume NAME] in "
			"f3.conf(5). Only a volume that is not in the configuration can be removed, with "
			"nothing of it open or dirty; its objects stay in the store. One that was taken "
			"out of the configuration is from \"before\": its files stay until it is removed.",
		.completes = F3CTL_WORDS,
		.words = "list add remove",
		.options = f3ctl_volume_options,
		.run = f3ctl_volume,
	},
	{
		.name = "activation",
		.args = "list | show ID",
		.help = "what runs of functions did, how long they waited for storage, what they cost",
		.more = "Of those that run and of those that are kept after their end (activations-kept, "
			"activations-age). Bytes read natively are not seen one by one: what is told is how "
			"large the files were. Bytes written natively are what the files grew by. Requests "
			"to stores are counted for the activation that wrote the file, or opened it last; "
			"prices are those of price-get and its like in f3.conf(5).",
		.completes = F3CTL_WORDS,
		.words = "list show",
		.options = f3ctl_activation_options,
		.run = f3ctl_activation,
	},
	{
		.name = "lineage",
		.args = "PATH",
		.help = "which activations wrote a file and from what, and what was made from it",
		.more = "Of the file's content of now, or of --generation: who had it open for writing, what "
			"those opened for reading, who wrote that, and so on (--up); and who opened it for "
			"reading, what those wrote, and so on (--down); both without either. Files are known "
			"by id and generation, so it does not matter what they were renamed to since, or "
			"whether they are still there; paths are those of then. With --json activations and "
			"edges, one a line; with --prov a document in the W3C's PROV-JSON. An edge says that "
			"a file was open, not that a byte of it had a part in what was written. What is not "
			"of an activation is not known; see activations-kept and lineage-kept in f3.conf(5).",
		.completes = F3CTL_PATHS,
		.options = f3ctl_lineage_options,
		.run = f3ctl_lineage,
	},
	{
		.name = "top",
		.help = "which activations are at work, the busiest first",
		.more = "IN CALLS is how much of a second its threads spent in calls to the daemon, all "
			"together, WAITING how much of that went by waiting for a store, a disk or a writer.",
		.options = f3ctl_top_options,
		.run = f3ctl_top,
	},
	{
		.name = "trace",
		.args = "show [ACTION] | record ACTION on|off | replay ACTION DIRECTORY | forget ACTION",
		.help = "working sets: what actions read that was not here",
		.more = "What the runs of an action read that had to come from elsewhere is kept for each "
			"namespace, action and version, and fetched ahead at the next run's begin. show lists "
			"the sets, or the files and ranges of one; {0} stands for the first input of a run. "
			"record off leaves a set as it is, or, with namespace and version, keeps one from being "
			"made; it is replayed all the same. replay fetches a set now and waits for it, for a "
			"function that sees DIRECTORY as its root.",
		.completes = F3CTL_WORDS,
		.words = "show record replay forget",
		.options = f3ctl_trace_options,
		.run = f3ctl_trace,
	},

	{
		.name = "stats",
		.help = "what goes on, a line a second",
		.options = f3ctl_stats_options,
		.run = f3ctl_stats,
	},
	{
		.name = "profile",
		.help = "latencies by operation, over an interval",
		.more = "Times are upper bounds of powers of two.",
		.options = f3ctl_profile_options,
		.run = f3ctl_profile,
	},
	{
		.name = "fsck",
		.help = "check the metadata and the backing files",
		.more = "A running daemon's database is only looked at. With --cache the directory of a "
			"daemon that does not run is checked, and with --repair put right: names that lead "
			"nowhere go, files without a name come to lost+found of their volume. Exit code 1 if "
			"problems are left.",
		.options = f3ctl_fsck_options,
		.run = f3ctl_fsck,
	},
	{
		.name = "gc",
		.help = "find what nothing speaks of any more",
		.more = "Backing files of unfinished operations of earlier runs, and uploads that were begun "
			"and left: in an s3:// store those that this node's journal tells of, in a file:// "
			"store those older than gc-upload-age.",
		.options = f3ctl_gc_options,
		.run = f3ctl_gc,
	},
	{
		.name = "config",
		.help = "the configuration in force, and where each value comes from",
		.run = f3ctl_config,
	},
	{
		.name = "reload",
		.help = "read the configuration again; apply what can change, and list the rest",
		.more = "Environment and command line are those of the start. What differs from what is in "
			"force is listed with when it counts: now; after f3ctl upgrade (or when the daemon "
			"dies and is started again); or when f3d is stopped and started. A configuration "
			"with an error in it changes nothing.",
		.run = f3ctl_reload,
	},
	{
		.name = "upgrade",
		.args = "[BINARY]",
		.help = "have another program, or the same with the configuration of now, serve the mount",
		.more = "BINARY is an f3d; without it the file that f3d was started from, which may be a newer "
			"one by now. The new daemon shows first that it can go on with the state of the old "
			"one; else nothing happens and its reason is told. Then the old one stops, and calls "
			"wait until the new one serves: no call fails, open files stay open. Should it not "
			"come to serve within upgrade-wait, the program of before is started again. For root "
			"only. Not with transport io_uring, where the kernel does not hand requests over; and "
			"the supervisor, one small process, stays the old program until f3d is stopped.",
		.completes = F3CTL_PATHS,
		.run = f3ctl_upgrade,
	},
	{
		.name = "log-level",
		.args = "[LEVEL]",
		.help = "show or change what is logged: error, warn, info, debug",
		.completes = F3CTL_WORDS,
		.words = "error warn info debug",
		.run = f3ctl_log_level,
	},
	{
		.name = "debug",
		.args = "bundle [FILE]",
		.help = "put what a bug report needs into one archive",
		.more = "Status, configuration, metrics, latencies, the oldest journal entries and facts "
			"of the machine; no contents of files and no secrets, but names of volumes and of "
			"files that wait for their store.",
		.completes = F3CTL_WORDS,
		.words = "bundle",
		.run = f3ctl_debug,
	},
	{ .name = NULL },
};
