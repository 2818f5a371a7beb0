package qemu

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"griddle/cloud/provider"
	"griddle/cloud/provider/providertest"
	"griddle/imagestore/durable"
	"griddle/imagestore/durable/durabletest"
)

const testKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDZWs2WB8fJyFBKMs/9wxTKb0XgL1KG8PQO0aSQ7pC5M test"

// crashed makes a provider on a state that another may have left at any point.
func crashed(dir string, disk durable.Disk) (*QEMU, error) {
	return New(Config{Dir: dir, Accel: "tcg", ShutdownTimeout: 20 * time.Millisecond, Disk: disk})
}

// up brings a stack of one server with all that one can have to where it is ready.
func up(ctx context.Context, q *QEMU) (provider.Resource, error) {
	i := providertest.Blank(provider.Raw, 0)
	image, err := q.Ensure(ctx, i)
	if err != nil {
		return image, err
	}
	s := &provider.Server{Stack: "demo", Name: "web-1", Size: "tiny", Image: image.ID,
		UserData: []byte("#cloud-config\n{}\n")}
	ids := []*string{&s.Key, &s.Network, &s.Firewall, &s.Address}
	for n, w := range []provider.Want{
		&provider.Key{Stack: "demo", Name: "admin", Public: testKey},
		&provider.Network{Stack: "demo", Name: "net", Prefix: prefix()},
		&provider.Firewall{Stack: "demo", Name: "web",
			Rules: []provider.Rule{{Protocol: "tcp", From: 2222, To: 2223, Source: prefix()}}},
		&provider.Address{Stack: "demo", Name: "ip"},
		&provider.Volume{Stack: "demo", Name: "data", Size: 1 << 30},
	} {
		r, err := q.Ensure(ctx, w)
		if err != nil {
			return r, err
		}
		if n < len(ids) {
			*ids[n] = r.ID
		} else {
			s.Volumes = []string{r.ID}
		}
	}
	r, err := q.Ensure(ctx, s)
	if err != nil {
		return r, err
	}
	return r, until(ctx, q, func(all []provider.Resource) bool {
		return len(all) == 6 && all[5].State == provider.Ready
	})
}

// until lists the stack until it is as it should be.
func until(ctx context.Context, q *QEMU, is func([]provider.Resource) bool) error {
	for {
		all, err := q.List(ctx, "demo")
		if err != nil {
			return err
		}
		if is(all) {
			return nil
		}
		select {
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("the stack is still %v: %w", all, ctx.Err())
		}
	}
}

// down removes all of it.
func down(ctx context.Context, q *QEMU) error {
	var last error
	err := until(ctx, q, func(all []provider.Resource) bool {
		slices.Reverse(all)
		for _, r := range all {
			if err := q.Remove(ctx, r); err != nil && !errors.Is(err, provider.ErrTemporary) {
				last = err
				return true
			}
		}
		return len(all) == 0
	})
	if err := errors.Join(err, last); err != nil {
		return err
	}
	images, err := q.List(ctx, "")
	for _, i := range images {
		err = errors.Join(err, q.Remove(ctx, i))
	}
	return err
}

// checkEmpty says whether something is left over, a process or a file.
func checkEmpty(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && !slices.Contains([]string{"lock", "upload.lock", "accel.json"}, e.Name()) {
			t.Errorf("%s is left over", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if pids := processes(t, dir); len(pids) > 0 {
		t.Errorf("processes %v are left over", pids)
	}
}

// processes is the QEMUs that work below dir.
func processes(t *testing.T, dir string) (pids []string) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range all {
		if cwd, err := os.Readlink(link); err == nil && strings.HasPrefix(cwd, dir) {
			pids = append(pids, strings.Split(link, "/")[2])
		}
	}
	return pids
}

// TestFaults has operations on the disk fail, of those that bringing a stack up and taking it down makes. What is left
// then is brought up, with one process, and taken down whole.
func TestFaults(t *testing.T) {
	for n, hit := rand.IntN(faultStep), true; hit; n += faultStep {
		hit = false
		dir := t.TempDir()
		tape := &durabletest.Tape{Root: dir, Fault: func(i int, o *durable.Op) error {
			if i != n {
				return nil
			}
			hit = true
			o.Data = o.Data[:len(o.Data)/2]
			return syscall.ENOSPC
		}}
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		q, err := crashed(dir, tape.Disk())
		if err == nil {
			_, err = up(ctx, q)
		}
		if err == nil {
			err = down(ctx, q)
		}
		if hit && err != nil && !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("with operation %d failing: %v", n, err)
		}
		if !hit && err != nil {
			t.Errorf("with nothing failing: %v", err)
		}
		recover(t, ctx, dir, fmt.Sprintf("operation %d failed", n))
	}
}

// recover brings what is left to a stack that is up, and takes it down.
func recover(t *testing.T, ctx context.Context, dir, what string) {
	t.Helper()
	q, err := crashed(dir, durable.Disk{})
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	// What was being removed goes first.
	for {
		if _, err = up(ctx, q); !errors.Is(err, provider.ErrTemporary) {
			break
		}
		if _, err := q.List(ctx, "demo"); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	if err != nil {
		t.Errorf("%s, then brought up: %v", what, err)
	}
	if pids := processes(t, dir); len(pids) != 1 {
		t.Errorf("%s, then brought up: processes %v, want one", what, pids)
	}
	if err := down(ctx, q); err != nil {
		t.Errorf("%s, then taken down: %v", what, err)
	}
	checkEmpty(t, dir)
}

// upAndDown is the program that TestKilled kills. It says on its output when the stack is up.
func upAndDown(dir string) int {
	ctx := context.Background()
	q, err := crashed(dir, durable.Disk{})
	for err == nil {
		if _, err = up(ctx, q); err == nil {
			fmt.Println("up")
			if err = down(ctx, q); err == nil {
				fmt.Println("down")
			}
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// TestKilled kills programs that bring a stack up and down, each at a moment of its own.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for n := range kills {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), "QEMU_TEST_UP="+dir)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for range random.IntN(3) {
			lines.Scan()
		}
		time.Sleep(time.Duration(random.IntN(120)) * time.Millisecond) // the moment, and nothing that is waited for
		cmd.Process.Kill()
		cmd.Wait()
		if stderr.Len() > 0 {
			t.Errorf("the program that was killed said %s", stderr.String())
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		recover(t, ctx, dir, fmt.Sprintf("kill %d", n))
	}
}
