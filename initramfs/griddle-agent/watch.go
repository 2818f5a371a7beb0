package main

import (
	"slices"
	"time"

	"griddle/appliance/job"
	"griddle/initramfs/uplink"
	"griddle/tui"
)

// lookEvery is how often the link is looked at while a person reads or chooses.
const lookEvery = time.Second

// watch notices changes of the connection to the server, and words them for the user.
type watch struct {
	name, mac string    // of the interface that leads to the server
	nics      []job.NIC // as they were told last

	told   string
	down   bool
	failed error // how the last question to the server ended
}

// look compares list, the interfaces now, and failed, how the last question to the server ended, with what was told
// last. It says whether there is news.
func (w *watch) look(list []uplink.NIC, failed error) (tui.Link, bool) {
	lost := lostLink(list, w.name, w.mac)
	down := lost != ""
	if !down && failed != nil {
		lost = unanswered(failed)
	}
	w.failed = failed
	now := slices.Clone(w.nics)
	for i := range now {
		now[i].Carrier = slices.ContainsFunc(list, func(n uplink.NIC) bool { return n.MAC == now[i].MAC && n.Carrier })
	}
	if lost == w.told && slices.Equal(now, w.nics) {
		return tui.Link{}, false
	}
	w.told, w.nics, w.down = lost, now, down
	return tui.Link{NICs: now, Lost: lost, Down: down}, true
}
