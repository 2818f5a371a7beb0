//go:build cloud

// Package openstacktest runs a real OpenStack for tests: keystone, glance, placement, nova with its fake driver,
// and neutron with Linux bridges, of Debian 12's packages (Zed). Servers of the fake driver have states and
// ports, and run nothing.
//
// Call Start from TestMain, and run the test binary again inside its network namespace by Inside; there it is reached
// at URL with the name and password "admin" and "os". The root with its databases is made once, which takes some ten
// minutes and 2 GB, and is kept in a directory of the cache under a name that changes with its recipe. What a run
// writes goes into an overlay that goes away with it.
//
// Everything runs in namespaces of network, mounts, host name and processes of its own. Process 1 in them ends when
// this program does, and all others with it.
package openstacktest

import (
	"bufio"
	"context"
	"crypto/sha256"
	_ "embed" // the recipes
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"griddle/appliance/e2e/machinetest"
)

// What it is reached by, inside.
const (
	URL      = "http://127.0.0.1:5000/v3"
	User     = "admin"
	Password = "os"
	Project  = "admin"
	Region   = "RegionOne"
	External = "public" // the external network
	Size     = "m1.tiny"
)

//go:embed root.sh
var rootRecipe []byte

//go:embed configure.sh
var configureRecipe []byte

//go:embed up.sh
var upRecipe []byte

// Cloud is one that runs.
type Cloud struct {
	cmd   *exec.Cmd
	stdin io.Closer
	dir   string
}

// Start has an OpenStack run, until Stop or the end of this program. Its logs are in directory logs.
func Start(ctx context.Context, cache, logs string, log io.Writer) (*Cloud, error) {
	root, err := makeRoot(ctx, cache, log)
	if err != nil {
		return nil, fmt.Errorf("making the root of OpenStack: %w", err)
	}
	dir, err := os.MkdirTemp(cache, "openstack-run-")
	if err != nil {
		return nil, fmt.Errorf("starting OpenStack: %w", err)
	}
	begun := time.Now()
	c, err := up(ctx, dir, root, filepath.Join(dir, "overlay"), logs)
	if err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("starting OpenStack: %w; its logs are in %s", err, logs)
	}
	fmt.Fprintf(log, "OpenStack runs, after %.0f s\n", time.Since(begun).Seconds())
	return c, nil
}

// up runs up.sh, and returns when it is ready.
func up(ctx context.Context, dir, root, overlay, logs string) (*Cloud, error) {
	script := filepath.Join(dir, "up.sh")
	if err := os.WriteFile(script, upRecipe, 0o755); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(logs, 0o755); err != nil {
		return nil, err
	}
	errors, err := os.Create(filepath.Join(logs, "up.log"))
	if err != nil {
		return nil, err
	}
	defer errors.Close()
	// The pipe ends with this program, even if it is killed.
	cmd := exec.Command("unshare", "--net", "--mount", "--pid", "--uts", "--fork", "--kill-child",
		"--propagation", "private",
		"bash", script, root, overlay, logs)
	cmd.Stderr = errors
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &Cloud{cmd: cmd, stdin: stdin, dir: dir}
	ready := make(chan bool, 1)
	go func() {
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if lines.Text() == "READY" {
				ready <- true
				return
			}
		}
		ready <- false
	}()
	select {
	case ok := <-ready:
		if ok {
			return c, nil
		}
		err = fmt.Errorf("it ended before it was ready")
	case <-ctx.Done():
		err = ctx.Err()
	}
	c.cmd.Process.Kill()
	c.stdin.Close()
	c.cmd.Wait()
	return nil, err
}

// Stop ends it and takes away what it wrote.
func (c *Cloud) Stop() error {
	c.stdin.Close()
	err := c.cmd.Wait()
	if err2 := os.RemoveAll(c.dir); err == nil {
		err = err2
	}
	return err
}

// Inside is a command that runs in the cloud's network.
func (c *Cloud) Inside(ctx context.Context, name string, args ...string) *exec.Cmd {
	in := []string{"--net", "--target", strconv.Itoa(c.cmd.Process.Pid), "--", name}
	return exec.CommandContext(ctx, "nsenter", append(in, args...)...)
}

// makeRoot returns the directory of a root that is configured, with its databases.
func makeRoot(ctx context.Context, cache string, log io.Writer) (string, error) {
	sum := sha256.New()
	for _, recipe := range [][]byte{rootRecipe, configureRecipe, upRecipe} {
		sum.Write(recipe)
	}
	return machinetest.Cached(cache, fmt.Sprintf("openstack-%x", sum.Sum(nil)[:6]), "openstack", log,
		func(work string) (string, error) {
			return build(ctx, cache, work)
		})
}

// build makes the root in work, with logs in cache.
func build(ctx context.Context, cache, work string) (string, error) {
	mirror, err := machinetest.Mirror(ctx, "bookworm")
	if err != nil {
		return "", err
	}
	security, err := machinetest.Mirror(ctx, "bookworm-security")
	if err != nil {
		return "", err
	}
	logs := filepath.Join(cache, "openstack-logs")
	if err := os.MkdirAll(logs, 0o755); err != nil {
		return "", err
	}
	unfinished := filepath.Join(work, "root")
	for _, step := range []struct {
		name   string
		script []byte
		args   []string
	}{
		{"root.sh", rootRecipe, []string{unfinished, mirror, security}},
		{"configure.sh", configureRecipe, []string{unfinished}},
	} {
		script := filepath.Join(work, step.name)
		if err := os.WriteFile(script, step.script, 0o755); err != nil {
			return "", err
		}
		out, err := os.Create(filepath.Join(logs, step.name+".log"))
		if err != nil {
			return "", err
		}
		cmd := exec.CommandContext(ctx, "bash", append([]string{script}, step.args...)...)
		cmd.Stdout, cmd.Stderr = out, out
		err = cmd.Run()
		out.Close()
		if err != nil {
			return "", fmt.Errorf("running %s: %w; its output is in %s", step.name, err, out.Name())
		}
	}
	c, err := up(ctx, work, unfinished, "-", logs)
	if err != nil {
		return "", fmt.Errorf("making the databases: %w; the logs are in %s", err, logs)
	}
	c.stdin.Close()
	if err := c.cmd.Wait(); err != nil {
		return "", fmt.Errorf("ending what made the databases: %w", err)
	}
	return unfinished, nil
}
