package machine

import (
	"bytes"
	"strings"
	"testing"

	"github.com/creack/pty"

	"griddle/appliance/api"
	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
)

// TestConfirmErase asks on a terminal, and takes the name of the disk alone.
func TestConfirmErase(t *testing.T) {
	d := job.Disk{Path: "/dev/sda", Serial: "S1", Size: 1e12, Table: "gpt",
		Partitions: []job.Partition{{Number: 1, Size: 1e11, Filesystem: "ntfs", Label: "Windows"}}}
	for typed, ok := range map[string]bool{"S1\n": true, " S1 \n": true, "yes\n": false, "y\n": false, "\n": false,
		"S2\n": false, "/dev/sda\n": false} {
		person, terminal, err := pty.Open()
		if err != nil {
			t.Fatal(err)
		}
		var shown bytes.Buffer
		m := &machines{e: &cli.Env{Stdin: terminal, Stderr: &shown}}
		if _, err := person.WriteString(typed); err != nil {
			t.Fatal(err)
		}
		err = m.confirmErase(api.Machine{Name: "node7"}, d, api.Erase{Disk: "S1"}, "")
		if (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "nothing was changed") {
			t.Errorf("%q: %v", typed, err)
		}
		for _, want := range []string{"On node7, disk /dev/sda, 1.00 TB, serial S1 will be erased",
			`partition 1: 100 GB, ntfs "Windows"`, "Type S1 to erase the disk"} {
			if !strings.Contains(shown.String(), want) {
				t.Errorf("it shows %q, without %q", &shown, want)
			}
		}
		person.Close()
		terminal.Close()
	}
}
