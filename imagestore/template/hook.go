package template

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"griddle/imagestore/template/hookfile"
)

// HookOptions say which programs RunHooks runs, and with which environment.
type HookOptions struct {
	Dir    string // of the programs; none run if it does not exist
	Source string // GRIDDLE_SOURCE: what is published
	Image  string // GRIDDLE_IMAGE: as what
	Say    func(sentence string)
}

// Hook is a site's program that ran.
type Hook struct {
	Name   string // of its file
	SHA256 string // of its bytes, 64 lower-case hex digits
}

// maxHookOutput is how much of a hook's output is kept: the end.
const maxHookOutput = 16 << 10

// RunHooks runs every executable file in o.Dir, ordered by name, with the copy at dir as its argument and in
// GRIDDLE_ROOT. Files without an x bit are skipped, with a line to o.Say; those whose names begin with "." or end in
// "~" without one. A program that fails ends the run, with its last output in the error. The end of ctx kills the
// program and what it started.
//
// Its environment is PATH (the system's six directories), LANG=C.UTF-8, HOME as the publisher has it, GRIDDLE_ROOT,
// GRIDDLE_SOURCE and GRIDDLE_IMAGE, and nothing else; its directory is /.
//
// A hook has all rights of the publisher, and the copy may be hostile: it should not follow symbolic links in there,
// and start programs of it by chroot(8) at most.
func RunHooks(ctx context.Context, dir string, o HookOptions) ([]Hook, error) {
	entries, err := os.ReadDir(o.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading hooks: %w", err)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("running hooks: %w", err)
	}
	var done []Hook
	for _, e := range entries {
		path := filepath.Join(o.Dir, e.Name())
		verdict, err := hookfile.Judge(e.Name(), func(string) (fs.FileInfo, error) { return os.Stat(path) })
		switch {
		case err != nil:
			return nil, fmt.Errorf("reading hooks: %w", err)
		case verdict == hookfile.NotExecutable:
			o.say(fmt.Sprintf("hook %s is skipped: it is not executable", path))
			continue
		case verdict == hookfile.Ignored:
			continue
		}
		h := Hook{Name: e.Name()}
		if h.SHA256, err = sumFile(path); err != nil {
			return nil, fmt.Errorf("reading hooks: %w", err)
		}
		if err := o.run(ctx, path, dir); err != nil {
			return nil, fmt.Errorf("hook %s: %w", path, err)
		}
		done = append(done, h)
	}
	return done, nil
}

func (o HookOptions) say(sentence string) {
	if o.Say != nil {
		o.Say(sentence)
	}
}

func (o HookOptions) run(ctx context.Context, path, dir string) error {
	abs, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	var out tail
	cmd := exec.CommandContext(ctx, abs, dir)
	cmd.Dir = "/"
	cmd.Env = o.environment(dir)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second // for who left the group and still holds the output
	err = cmd.Run()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	said := strings.TrimSpace(string(out.b))
	switch {
	case err != nil && said != "":
		return fmt.Errorf("%w:\n%s", err, said)
	case err == nil && said != "":
		o.say(fmt.Sprintf("hook %s says: %s", path, said))
	}
	return err
}

// environment is all that a hook is told. What else the publisher's own holds, tokens and passwords among it, is not
// for it, and would make images depend on who publishes them.
func (o HookOptions) environment(dir string) []string {
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"}
	if home, err := os.UserHomeDir(); err == nil {
		env = append(env, "HOME="+home)
	}
	return append(env, "GRIDDLE_SOURCE="+o.Source, "GRIDDLE_IMAGE="+o.Image, "GRIDDLE_ROOT="+dir)
}

// tail keeps the last bytes that were written.
type tail struct{ b []byte }

func (t *tail) Write(b []byte) (int, error) {
	t.b = append(t.b, b...)
	if n := len(t.b) - maxHookOutput; n > 0 {
		t.b = append(t.b[:0], t.b[n:]...)
	}
	return len(b), nil
}

func sumFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
