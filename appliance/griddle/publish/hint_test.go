package publish

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"griddle/appliance/griddle/cli"
	"griddle/imagestore/source"
)

// TestRoomHint says of each full disk which one it is.
func TestRoomHint(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("putting blob: %w", syscall.ENOSPC), "The disk of the store /srv/store is full"},
		{fmt.Errorf("copying: %w", &source.RoomError{Dir: "/var/tmp/spool", Spool: true}), "TMPDIR"},
		{&source.RoomError{Dir: "/var/lib/lxc/.griddle"}, "/var/lib/lxc/.griddle, on the disk of the source"},
	} {
		if hint := cli.HintOf(Explain(c.err, "/srv/store")); !strings.Contains(hint, c.want) {
			t.Errorf("the hint is %q, want %q in it", hint, c.want)
		}
	}
}
