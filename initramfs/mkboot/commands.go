package main

import (
	"bytes"
	"context"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"

	"github.com/u-root/u-root/pkg/cpio"
)

// coreCommandsFile imports the commands that go in.
const coreCommandsFile = "initramfs/corecmds.go"

// coreCommands is the archive of u-root's commands, made by u-root's builder as one binary with links, and
// written again by ours so that it holds nothing but them.
func (b *builder) coreCommands(ctx context.Context) ([]byte, error) {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(b.module, coreCommandsFile),
		nil, parser.ImportsOnly)
	if err != nil {
		return nil, fmt.Errorf("reading the list of core commands: %w", err)
	}
	args := []string{"tool", "u-root", "-build=bb", "-format=cpio", "-initcmd=", "-defaultsh="}
	for _, i := range file.Imports {
		path, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			return nil, fmt.Errorf("reading the list of core commands: %w", err)
		}
		args = append(args, path)
	}
	sum, err := os.ReadFile(filepath.Join(b.module, "go.mod"))
	if err != nil {
		return nil, fmt.Errorf("reading go.mod: %w", err)
	}
	raw, err := b.cached("cpio", [][]byte{[]byte(runtime.Version()), fmt.Append(nil, args), sum},
		func() ([]byte, error) {
			b.printf("building u-root's core commands; this is kept for the next time")
			return b.uroot(ctx, args)
		})
	if err != nil {
		return nil, err
	}
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(raw)))
	if err != nil {
		return nil, fmt.Errorf("reading u-root's archive: %w", err)
	}
	var keep []cpio.Record
	for _, r := range records {
		if filepath.Dir(r.Name) == "bbin" {
			keep = append(keep, r)
		}
	}
	return archive(keep)
}

func (b *builder) uroot(ctx context.Context, args []string) ([]byte, error) {
	dir, err := os.MkdirTemp(b.cache, "u-root-*")
	if err != nil {
		return nil, fmt.Errorf("building the core commands: %w", err)
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "out.cpio")
	cmd := exec.CommandContext(ctx, "go", append(args[:3:3], append([]string{"-o", out}, args[3:]...)...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
	cmd.Env = append(cmd.Env, b.env...)
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the core commands: %w\n%s", err, text)
	}
	return os.ReadFile(out)
}
