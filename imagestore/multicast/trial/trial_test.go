package trial

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"griddle/imagestore/multicast/testbed"
)

// childEnv makes the test binary a child of a trial.
const childEnv = "GRIDDLE_TRIAL_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		if err := Child(ctx, os.Stdin, os.Stdout); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child() []string { return []string{"env", childEnv + "=1", os.Args[0]} }

// Every tool brings a small file to two receivers.
func TestTools(t *testing.T) {
	for _, tool := range []string{"griddle", "udpcast", "uftp", "http"} {
		t.Run(tool, func(t *testing.T) {
			r, err := Run(t.Context(), Options{Tool: tool, Receivers: 2, Size: 5 << 20, Child: child(),
				Dir: t.TempDir(), Wire: testbed.Wire{Loss: 0.01}})
			if err != nil {
				t.Fatal(err)
			}
			for i, x := range r.Each {
				t.Logf("%d: ok %v, took %v, data %v, cpu %v, %s %s", i+1, x.OK, x.Took, x.Data, x.CPU, x.Way, x.Err)
			}
			t.Logf("total %v, session %v, sent %.3f, sender %v, receiver %v", r.Total, r.Session, r.Overhead(),
				r.Sender, r.Receiver)
			if !r.Whole() {
				t.Error("not every receiver has the file")
			}
		})
	}
}
