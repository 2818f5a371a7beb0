package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"griddle/initramfs"
	"griddle/initramfs/bootloader"

	"github.com/u-root/u-root/pkg/cpio"
)

// build makes everything and puts it into the output directory, each file complete or not at all.
func (b *builder) build(ctx context.Context, verify bool) error {
	unlock, err := b.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	files, err := b.make(ctx)
	if err != nil {
		return err
	}
	if verify {
		if err := b.again(ctx, files); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(b.out, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("making directories: %w", err)
		}
		if err := replace(path, files[name]); err != nil {
			return err
		}
	}
	for name := range under(initramfs.ToolsDir, files) {
		if err := dropArchives(filepath.Join(b.out, initramfs.ToolsDir), name); err != nil {
			return err
		}
	}
	keymaps := filepath.Join(b.out, keymapsDir)
	return dropOthers(keymaps, under(keymapsDir, files))
}

// keymapsDir is where "griddle serve" looks for NAME.bmap, below the boot directory.
const keymapsDir = "keymaps"

// under returns the files whose names begin with dir, by what follows it.
func under(dir string, files map[string][]byte) map[string][]byte {
	out := map[string][]byte{}
	for name, data := range files {
		if rest, ok := strings.CutPrefix(name, dir+"/"); ok {
			out[rest] = data
		}
	}
	return out
}

// again makes everything a second time: Go code is compiled anew, in a cache of its own, and nothing of ours is taken
// from the cache. It fails if a byte differs from files.
func (b *builder) again(ctx context.Context, files map[string][]byte) error {
	dir, err := os.MkdirTemp(b.cache, "go-build-*")
	if err != nil {
		return fmt.Errorf("building again: %w", err)
	}
	defer os.RemoveAll(dir)
	second := *b
	second.verify, second.fresh, second.env = true, false, []string{"GOCACHE=" + dir}
	b.printf("making everything a second time")
	more, err := second.make(ctx)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !bytes.Equal(files[name], more[name]) {
			return fmt.Errorf("%s is not reproducible: it has %d bytes, and the second time %d", name,
				len(files[name]), len(more[name]))
		}
	}
	if len(files) != len(more) {
		return fmt.Errorf("made %d files, and the second time %d", len(files), len(more))
	}
	b.printf("%d files are identical", len(files))
	return nil
}

// make returns the files of the output directory by their names.
func (b *builder) make(ctx context.Context) (map[string][]byte, error) {
	k, err := b.kernel(ctx)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	keymaps, err := b.keymaps(ctx, k)
	if err != nil {
		return nil, err
	}
	for name, data := range keymaps {
		files[keymapsDir+"/"+name] = data
	}
	grub, err := b.grub(ctx)
	if err != nil {
		return nil, err
	}
	maps.Copy(files, grub)
	if files["vmlinuz"], err = os.ReadFile(k.vmlinuz); err != nil {
		return nil, fmt.Errorf("reading the kernel: %w", err)
	}
	base, err := b.base(k)
	if err != nil {
		return nil, err
	}
	commands, err := b.coreCommands(ctx)
	if err != nil {
		return nil, err
	}
	archived, tools, err := b.tools(ctx, k, base, commands)
	if err != nil {
		return nil, err
	}
	files[initramfs.ToolsDir+"/"+tools.Name()] = archived
	agent, alone, err := b.agent(ctx, k, grub, tools)
	if err != nil {
		return nil, err
	}
	maps.Copy(files, alone)
	if files[initramfs.FirstRoot], err = b.firstRoot(ctx); err != nil {
		return nil, err
	}
	image, err := b.initramfs(ctx,
		[]part{{"kernel modules, firmware and tools", base}, {"core commands", commands}, {"agent", agent}})
	if err != nil {
		return nil, err
	}
	files["initramfs"] = image
	kernelSize, total := len(files["vmlinuz"]), len(files["vmlinuz"])+len(image)
	b.printf("kernel %d + initramfs %d = %d bytes, %d below the limit", kernelSize, len(image), total,
		initramfs.MaxSize-total)
	if total > initramfs.MaxSize {
		return nil, fmt.Errorf("kernel and initramfs have %d bytes, the limit is %d: "+
			"remove modules from initramfs.DefaultChoice", total, initramfs.MaxSize)
	}
	for _, name := range []string{"undionly.kpxe", "snponly.efi", "ipxe.efi"} {
		if files[name], err = os.ReadFile(filepath.Join("/usr/lib/ipxe", name)); err != nil {
			return nil, fmt.Errorf("copying the network loaders: %w (package ipxe; run make deps)", err)
		}
	}
	return files, nil
}

type part struct {
	name string
	cpio []byte
}

// initramfs compresses the parts and joins them, each padded to a multiple of four bytes.
func (b *builder) initramfs(ctx context.Context, parts []part) ([]byte, error) {
	var image []byte
	for _, p := range parts {
		z, err := b.compress(ctx, p.name, p.cpio, imageWindow)
		if err != nil {
			return nil, err
		}
		b.printf("%s: %.1f MB, compressed %.2f MB", p.name, float64(len(p.cpio))/1e6, float64(len(z))/1e6)
		image = append(image, z...)
		image = append(image, make([]byte, -len(image)&3)...)
	}
	return image, nil
}

// grub returns GRUB's images as grub/PATH.
func (b *builder) grub(ctx context.Context) (map[string][]byte, error) {
	dir, err := os.MkdirTemp(b.cache, "grub-*")
	if err != nil {
		return nil, fmt.Errorf("building GRUB: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := bootloader.BuildGRUB(ctx, dir, bootloader.BuildOptions{}); err != nil {
		return nil, fmt.Errorf("building GRUB: %w", err)
	}
	files := map[string][]byte{}
	for _, name := range []string{bootloader.BootImage, bootloader.CoreImage, bootloader.EFIImage} {
		if files["grub/"+name], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			return nil, fmt.Errorf("building GRUB: %w", err)
		}
	}
	return files, nil
}

// agentName is the agent by itself in the output directory, with its initramfs.Build beside it: installed machines
// fetch it there, see package appliance.
const agentName = "griddle-agent"

// agent is the archive that changes most often: the agent itself, GRUB's images, when this was built, and which tools
// archive belongs to it. files are those of the output directory.
func (b *builder) agent(ctx context.Context, k *kernel, grub map[string][]byte, tools initramfs.Archive) (image []byte,
	files map[string][]byte, err error) {
	if b.built.Kernel != k.release {
		built, err := b.version(ctx, k)
		if err != nil {
			return nil, nil, err
		}
		b.built = built // a commit between two builds must not make them differ
	}
	bin := filepath.Join(b.cache, agentName)
	if err := b.compile(ctx, bin, "./initramfs/griddle-agent", fmt.Sprintf("-X 'main.version=%s' -X main.built=%d",
		b.built.Version, b.built.Time)); err != nil {
		return nil, nil, err
	}
	b.built.Tools = &tools
	doc, err := json.Marshal(b.built)
	if err != nil {
		return nil, nil, fmt.Errorf("writing the build document: %w", err)
	}
	records := []cpio.Record{
		cpio.Directory("dev", 0o755), cpio.CharDev("dev/console", 0o600, 5, 1), cpio.CharDev("dev/null", 0o666, 1, 3),
		cpio.Directory("proc", 0o555), cpio.Directory("sys", 0o555), cpio.Directory("run", 0o755),
		cpio.Directory("tmp", 0o1777), cpio.Directory("mnt", 0o755), cpio.Directory("root", 0o700),
		cpio.Directory("var", 0o755), cpio.Directory("bin", 0o755),
		cpio.Symlink("init", "/"+initramfs.AgentPath),
		cpio.Symlink("sbin/modprobe", "/"+initramfs.AgentPath),
		cpio.Symlink("sbin/"+agentName, "/"+initramfs.AgentPath), // for `griddle-agent recover` in a rescue shell
		cpio.Symlink("bin/fetch-tools", "/"+initramfs.AgentPath),
		cpio.Symlink("bin/sh", "bash"),
		cpio.StaticFile("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n", 0o644),
		cpio.StaticFile("etc/group", "root:x:0:\n", 0o644),
		// bash takes letters beyond ASCII from the keyboard without a locale, which would be 350 KB.
		cpio.StaticFile("etc/inputrc", "set input-meta on\nset output-meta on\nset convert-meta off\n", 0o644),
		cpio.StaticFile(initramfs.BuildPath, string(doc)+"\n", 0o644),
	}
	if records, err = appendFile(records, initramfs.AgentPath, bin); err != nil {
		return nil, nil, err
	}
	for name, data := range under("grub", grub) {
		records = append(records, cpio.StaticFile(initramfs.GRUBPath+"/"+name, string(data), 0o644))
	}
	files = map[string][]byte{agentName + ".json": append(doc, '\n')}
	if files[agentName], err = os.ReadFile(bin); err != nil {
		return nil, nil, fmt.Errorf("reading the agent: %w", err)
	}
	image, err = archive(records)
	return image, files, err
}

// version is the commit that is built, or where this is no clone the kernel's date.
func (b *builder) version(ctx context.Context, k *kernel) (initramfs.Build, error) {
	info, err := os.Stat(k.vmlinuz)
	if err != nil {
		return initramfs.Build{}, fmt.Errorf("reading the kernel: %w", err)
	}
	build := initramfs.Build{Version: "unknown", Time: info.ModTime().Unix(), Kernel: k.release}
	out, err := exec.CommandContext(ctx, "git", "-C", b.module, "log", "-1", "--format=%ct %h").Output()
	if seconds, commit, ok := strings.Cut(strings.TrimSpace(string(out)), " "); err == nil && ok {
		if t, err := strconv.ParseInt(seconds, 10, 64); err == nil {
			build.Time = max(build.Time, t)
		}
		build.Version = commit
	}
	build.Version += " of " + time.Unix(build.Time, 0).UTC().Format(time.DateOnly)
	return build, nil
}
