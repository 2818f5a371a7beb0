package trial

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// run runs a program to its end and returns its processor time.
func run(c *exec.Cmd) (time.Duration, error) {
	out, err := c.CombinedOutput()
	var cpu time.Duration
	if c.ProcessState != nil {
		cpu = c.ProcessState.UserTime() + c.ProcessState.SystemTime()
	}
	if err != nil {
		err = fmt.Errorf("%w: %.300s", err, out)
	}
	return cpu, err
}

// background starts a program.
func background(c *exec.Cmd) (func() (time.Duration, error), error) {
	if err := c.Start(); err != nil {
		return nil, err
	}
	return func() (time.Duration, error) {
		_ = c.Wait() // it was killed where it outlived its receivers
		return c.ProcessState.UserTime() + c.ProcessState.SystemTime(), nil
	}, nil
}

// udpcast sends with acknowledgements (its full-duplex mode), and with the options without which it does not survive
// loss: a hello that is repeated, and a receive buffer of 4 MB. Where packets are lost it waits for two seconds, which
// count, before it begins: else a receiver whose answer is lost then would wait without end.
type udpcast struct{}

func (udpcast) send(ctx context.Context, t *trial) (func() (time.Duration, error), error) {
	wait := "0"
	if t.o.Wire.Loss > 0 {
		wait = "2"
	}
	return background(t.bed.Sender.Command(ctx, "udp-sender", "--interface", "eth0", "--nokbd", "--no-progress",
		"--full-duplex", "--min-receivers", fmt.Sprint(t.o.Receivers), "--min-wait", wait, "--rexmit-hello-interval",
		"500", "-f", t.file))
}

func (udpcast) receive(ctx context.Context, t *trial, i int) (string, Received, error) {
	file := filepath.Join(t.dir, fmt.Sprintf("got%d", i))
	cpu, err := run(t.bed.Receivers[i].Command(ctx, "udp-receiver", "--interface", "eth0", "--nokbd", "--no-progress",
		"--rcvbuf", "4M", "-f", file))
	return file, Received{CPU: cpu}, err
}

// uftp sends at a fixed rate and repeats what receivers say is missing.
type uftp struct{}

func (uftp) send(ctx context.Context, t *trial) (func() (time.Duration, error), error) {
	// Receivers are daemons that must hear the announcement.
	return background(t.bed.Sender.Command(ctx, "uftp", "-I", "eth0", "-R", fmt.Sprint(t.o.Rate/1000), "-B",
		"4194304", "-b", "1440", "-x", "0", t.file))
}

func (uftp) receive(ctx context.Context, t *trial, i int) (string, Received, error) {
	dir := filepath.Join(t.dir, fmt.Sprintf("dir%d", i))
	if err := os.MkdirAll(filepath.Join(dir, "tmp"), 0o755); err != nil {
		return "", Received{}, err
	}
	file := filepath.Join(dir, filepath.Base(t.file))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := t.bed.Receivers[i].Command(ctx, "uftpd", "-d", "-I", "eth0", "-D", dir, "-T", filepath.Join(dir, "tmp"),
		"-B", "4194304", "-q")
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	if err := c.Start(); err != nil {
		return "", Received{}, err
	}
	var err error
	for {
		var st fs.FileInfo
		// It is moved to its place when it is whole.
		if st, err = os.Stat(file); err == nil && st.Size() == t.o.Size {
			break
		}
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-time.After(5 * time.Millisecond):
			continue
		}
		break
	}
	cancel()
	_ = c.Wait()
	return file, Received{CPU: c.ProcessState.UserTime() + c.ProcessState.SystemTime()}, err
}

// web is HTTP, by curl from nginx's place: Go's file server, which costs the sender little.
type web struct{ ours }

func (w *web) send(ctx context.Context, t *trial) (func() (time.Duration, error), error) {
	return w.ours.send(ctx, t)
}

func (w *web) receive(ctx context.Context, t *trial, i int) (string, Received, error) {
	file := filepath.Join(t.dir, fmt.Sprintf("got%d", i))
	cpu, err := run(t.bed.Receivers[i].Command(ctx, "curl", "-sS", "-o", file,
		fmt.Sprintf("http://10.87.0.1:%d/", httpPort)))
	return file, Received{CPU: cpu}, err
}
