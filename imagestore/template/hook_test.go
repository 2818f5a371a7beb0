package template

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestHooks(t *testing.T) {
	base := t.TempDir()
	copied, hooks := filepath.Join(base, "copy"), filepath.Join(base, "hooks")
	plant(t, copied, "etc/x")
	hook := func(name, script string, mode os.FileMode) {
		t.Helper()
		plant(t, hooks, fmt.Sprintf("%s=#!/bin/sh\n%s\n", name, script))
		if err := os.Chmod(filepath.Join(hooks, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	hook("20-second", `echo "2 $GRIDDLE_SOURCE $GRIDDLE_IMAGE" >>"$1/log"`, 0o755)
	hook("10-first", `[ "$1" = "$GRIDDLE_ROOT" ] && echo 1 >"$1/log"; echo loud`, 0o700)
	hook("15-off", `echo never >>"$1/log"`, 0o644)
	hook("16-old~", `echo never >>"$1/log"`, 0o755)
	plant(t, hooks, "dir/30-inner")
	var said []string
	o := HookOptions{Dir: hooks, Source: "lxc:web", Image: "shop/web", Say: func(s string) { said = append(said, s) }}
	done, err := RunHooks(context.Background(), copied, o)
	if err != nil || len(done) != 2 || done[0].Name != "10-first" || done[1].Name != "20-second" {
		t.Fatalf("RunHooks = %+v, %v, want 10-first and 20-second", done, err)
	}
	sum, err := exec.Command("sha256sum", filepath.Join(hooks, "20-second")).Output()
	if err != nil || !strings.HasPrefix(string(sum), done[1].SHA256+" ") || len(done[1].SHA256) != 64 {
		t.Errorf("the SHA-256 of 20-second is %q, sha256sum says %q, %v", done[1].SHA256, sum, err)
	}
	if b, err := os.ReadFile(filepath.Join(copied, "log")); string(b) != "1\n2 lxc:web shop/web\n" || err != nil {
		t.Errorf("the hooks wrote %q, %v", b, err)
	}
	if want := []string{"hook " + hooks + "/10-first says: loud",
		"hook " + hooks + "/15-off is skipped: it is not executable"}; !slices.Equal(said, want) {
		t.Errorf("said %q, want %q", said, want)
	}

	t.Setenv("GRIDDLE_TOKEN", "secret")
	t.Setenv("HOME", "/home/ada")
	hook("20-second", `env | cut -d= -f1 | grep -v -e '^PWD$' -e '^SHLVL$' -e '^_$' -e '^OLDPWD$' | sort | tr '\n' ' `+
		`' >"$1/log"; echo "$HOME $LANG $PATH" >>"$1/log"`, 0o755)
	if _, err := RunHooks(context.Background(), copied, o); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(copied, "log")); err != nil ||
		string(b) != "GRIDDLE_IMAGE GRIDDLE_ROOT GRIDDLE_SOURCE HOME LANG PATH /home/ada C.UTF-8 "+
			"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n" {
		t.Errorf("a hook's environment is %q, %v", b, err)
	}

	hook("17-fails", `echo "no room" >&2; exit 3`, 0o755)
	var exit *exec.ExitError
	if _, err := RunHooks(context.Background(), copied, o); !errors.As(err, &exit) ||
		!strings.Contains(err.Error(), "17-fails: exit status 3:\nno room") {
		t.Errorf("RunHooks with one that fails = %v, want its status and words", err)
	}
	o.Dir = filepath.Join(base, "absent")
	if done, err := RunHooks(context.Background(), copied, o); err != nil || len(done) > 0 {
		t.Errorf("RunHooks without a directory = %+v, %v", done, err)
	}
}

// TestHookInterrupted kills a hook, and what it started, by the end of the context.
func TestHookInterrupted(t *testing.T) {
	base := t.TempDir()
	plant(t, base, "hooks/10-waits=#!/bin/sh\nmkfifo \"$1/ready\"; sleep 1000 & echo >\"$1/ready\"; wait\n", "copy/")
	if err := os.Chmod(filepath.Join(base, "hooks/10-waits"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(base, "copy/ready"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		os.ReadFile(filepath.Join(base, "copy/ready"))
		cancel()
	}()
	if _, err := RunHooks(ctx, filepath.Join(base, "copy"),
		HookOptions{Dir: filepath.Join(base, "hooks")}); !errors.Is(err, context.Canceled) {
		t.Errorf("RunHooks = %v, want context.Canceled", err)
	}
}
