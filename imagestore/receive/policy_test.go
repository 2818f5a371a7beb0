package receive_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"griddle/imagestore/receive"
	"griddle/imagestore/sendstream"
)

// TestForbidden has streams make what a system needs and data do not: they may, unless the options say otherwise, and
// then the error names the path.
func TestForbidden(t *testing.T) {
	dir := loopMount(t, t.TempDir(), "ext4", "", 64<<20)
	run(t, "rmdir", dir+"/lost+found")
	file := sendstream.Command{Op: sendstream.OpMkfile, Path: "f"}
	other := sendstream.Command{Op: sendstream.OpMkfile, Path: "other"}
	setid := sendstream.Command{Op: sendstream.OpChmod, Path: "f", Mode: 0o4755}
	devices, setID := receive.Options{NoDevices: true}, receive.Options{NoSetID: true}
	capability := []byte{1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0} // cap_net_raw=ep
	for _, c := range []struct {
		name     string
		commands []sendstream.Command
		o        receive.Options
		path     string // of the error; "" where the stream is no matter of the policy
	}{
		{"character device", []sendstream.Command{
			{Op: sendstream.OpMknod, Path: "null", Mode: unix.S_IFCHR | 0o666, Rdev: 0x103}}, devices, "null"},
		{"block device", []sendstream.Command{{Op: sendstream.OpMknod, Path: "sda", Mode: unix.S_IFBLK | 0o660,
			Rdev: 0x800}}, devices, "sda"},
		{"device by its second name", []sendstream.Command{{Op: sendstream.OpMknod, Path: "o1", Mode: unix.S_IFBLK},
			{Op: sendstream.OpRename, Path: "o1", To: "sda"}}, devices, "sda"},
		{"fifo and socket", []sendstream.Command{{Op: sendstream.OpMkfifo, Path: "p"},
			{Op: sendstream.OpMksock, Path: "s"}}, devices, ""},
		{"setuid", []sendstream.Command{file, setid}, setID, "f"},
		{"setuid of a file that is not open", []sendstream.Command{file, other, setid}, setID, "f"},
		{"setgid", []sendstream.Command{file, {Op: sendstream.OpChmod, Path: "f", Mode: 0o2755}}, setID, "f"},
		{"setgid directory", []sendstream.Command{{Op: sendstream.OpMkdir, Path: "d"},
			{Op: sendstream.OpChmod, Path: "d", Mode: 0o2755}}, setID, ""},
		{"sticky", []sendstream.Command{file, {Op: sendstream.OpChmod, Path: "f", Mode: 0o1777}}, setID, ""},
		{"capabilities", []sendstream.Command{file,
			{Op: sendstream.OpSetXattr, Path: "f", XattrName: "security.capability", Data: capability}}, setID, "f"},
		{"mode in the high bits", []sendstream.Command{file, {Op: sendstream.OpChmod, Path: "f", Mode: 1<<32 | 0o4755}},
			setID, "f"},
	} {
		stream := write(t, 1, c.commands...)
		ours(t, stream, dir, receive.Options{Name: "x"})
		run(t, "rm", "-r", dir+"/x")
		c.o.Name = "x"
		_, err := receive.Receive(t.Context(), bytes.NewReader(stream), dir, c.o)
		if c.path == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			run(t, "rm", "-r", dir+"/x")
			continue
		}
		var at *sendstream.Error
		if !errors.Is(err, receive.ErrForbidden) || !errors.As(err, &at) || !strings.Contains(err.Error(), c.path) {
			t.Errorf("%s: %v, want ErrForbidden with the path %q and its place", c.name, err, c.path)
		}
		empty(t, c.name, dir)
	}
}
