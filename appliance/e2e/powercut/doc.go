// Package powercut takes the power from machines while they are updated and installed, again and again, and looks at
// what is left each time: the machine starts the old root or the new one, homes and persistent data are the same byte
// for byte, and the journals of the machine and of the server say what happened.
//
// The tests run with the tag torture (make torture). Each test is one Case, drawn by chance from the seed that the test
// prints; with that seed in GRIDDLE_SEED and the name of the test in TORTURE, a case happens again. A case begins with
// a snapshot of a machine that works, so it takes no longer than an update and a start:
//
//	snapshot     the machine runs, or the boot image begins to; the server's state is that of the same moment
//	order        an update or an install
//	cut          at a time that is drawn from the Timeline of the kind; sometimes a second one in the start that follows
//	start        until the image's probe says what the machine found, on its serial line (Said)
//	judgement    what it said, and what the server knows (Judge, Known.Judge)
//
// The power is cut by the end of QEMU. What the system had not written to its disk is lost then; what it had written is
// kept. Package pooltest has disks that lose their caches too.
package powercut
