package build

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"griddle/appliance/griddle/cli"
	"griddle/cloud/definition"
)

// TestBuildProgress: a minute of one step is not silent.
func TestBuildProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said strings.Builder
		p := &buildProgress{bar: (&cli.Env{Stderr: &said}).Phases()}
		ctx, stop := context.WithCancel(t.Context())
		go p.run(ctx)
		begun := time.Now()
		s := definition.Step{Kind: definition.KindDisk, Output: "kvm", What: "qcow2", State: definition.Started,
			Begun: begun}
		p.definition(s)
		p.part("unpacking the image")
		time.Sleep(11 * time.Second)
		synctest.Wait()
		for n := range int64(8) { // bytes every second, and then none for a while
			p.bytes("writing", n<<20, 100<<20)
			time.Sleep(time.Second)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		s.State, s.Ended = definition.Done, time.Now()
		p.definition(s)
		time.Sleep(time.Minute)
		s.Skipped = true
		p.definition(s)
		s.Skipped, s.State, s.Error = false, definition.Failed, "no room"
		p.definition(s)
		stop()
		synctest.Wait()
		const want = `kvm: disk qcow2 ...
unpacking the image ...
unpacking the image ... 5 s
unpacking the image ... 10 s
writing 5.24 MB of about 105 MB, 5 %, 1.05 MB/s, 1:35 min left
unpacking the image ... 23 s
kvm: disk qcow2 done after 24.0 s
kvm: disk qcow2 was done before
kvm: disk qcow2 failed: no room
`
		if got := said.String(); got != want {
			t.Errorf("it says\n%s, want\n%s", got, want)
		}
	})
}
