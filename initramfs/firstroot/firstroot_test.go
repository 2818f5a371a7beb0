package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sys/unix"
)

const pool = "3e6be9de-8139-11d1-9106-a43f08d823a6"

func TestParseOptions(t *testing.T) {
	for _, c := range []struct {
		cmdline string
		want    options
		fails   bool
	}{
		{cmdline: "BOOT_IMAGE=/x root=UUID=" + strings.ToUpper(pool) + " rootflags=subvol=@roots/web@amd64 rw quiet " +
			"panic=10 oops=panic griddle.try\n",
			want: options{uuid: pool, flags: "subvol=@roots/web@amd64", write: true, init: "/sbin/init",
				delay: time.Minute, panic: 10 * time.Second}},
		{cmdline: "root=/dev/vda3 rw ro init=bin/sh rootdelay=5 panic=-1 -- root=/dev/vdb",
			want: options{device: "vda3", init: "/bin/sh", delay: 5 * time.Second, panic: -time.Second}},
		{cmdline: "root=UUID=" + pool + " panic=0 rootdelay=x", want: options{uuid: pool, init: "/sbin/init",
			delay: time.Minute}},
		{cmdline: "root=LABEL=pool", fails: true},
		{cmdline: "root=UUID=../../dev/vda", fails: true},
		{cmdline: "root=/dev/mapper/x panic=3", fails: true},
		{cmdline: "", fails: true},
	} {
		got, err := parseOptions(c.cmdline)
		if (err != nil) != c.fails || err == nil && got != c.want {
			t.Errorf("parseOptions(%q) = %+v, %v, want %+v", c.cmdline, got, err, c.want)
		}
		if c.fails && strings.Contains(c.cmdline, "panic=3") && got.panic != 3*time.Second {
			t.Errorf("parseOptions(%q) has panic %v: a failure must wait as long as the operator said", c.cmdline,
				got.panic)
		}
	}
}

func FuzzParseOptions(f *testing.F) {
	f.Add("root=UUID=" + pool + " rootflags=subvol=@roots/x rw")
	f.Add("root=/dev/../x init=../../x")
	f.Fuzz(func(t *testing.T, cmdline string) {
		o, err := parseOptions(cmdline)
		if err == nil && ((o.uuid == "") == (o.device == "") || strings.Contains(o.device, "/") || o.init[0] != '/') {
			t.Errorf("parseOptions(%q) = %+v", cmdline, o)
		}
	})
}

func TestMountFlags(t *testing.T) {
	for _, c := range []struct {
		options string
		write   bool
		flags   uintptr
		data    string
	}{
		{"subvol=@roots/web-1", true, 0, "subvol=@roots/web-1"},
		{"subvol=@roots/web-1", false, unix.MS_RDONLY, "subvol=@roots/web-1"},
		{"noatime,subvol=x,,compress=zstd:3,nodev", true, unix.MS_NOATIME | unix.MS_NODEV, "subvol=x,compress=zstd:3"},
		{"ro", true, unix.MS_RDONLY, ""},
		{"rw", false, 0, ""},
	} {
		if flags, data := mountFlags(c.options, c.write); flags != c.flags || data != c.data {
			t.Errorf("mountFlags(%q, %t) = %#x, %q, want %#x, %q", c.options, c.write, flags, data, c.flags, c.data)
		}
	}
}

// disk is a device with a btrfs, or with nothing if id is empty.
func disk(id string) device {
	b := make([]byte, superblock+4096)
	if id != "" {
		copy(b[superblock+magicAt:], magic)
		raw, err := hex.DecodeString(strings.ReplaceAll(id, "-", ""))
		if err != nil {
			panic(err)
		}
		copy(b[superblock+fsidAt:], raw)
	}
	return closer{bytes.NewReader(b)}
}

type closer struct{ *bytes.Reader }

func (closer) Close() error { return nil }

func TestFind(t *testing.T) {
	const other = "00000000-0000-0000-0000-000000000001"
	disks := map[string]device{"sda": disk(""), "sda2": closer{bytes.NewReader([]byte("short"))}, "sda3": disk(other),
		"sdb3": disk(pool)}
	open := func(name string) (device, error) {
		if d, ok := disks[name]; ok {
			return d, nil
		}
		return nil, errors.New("no medium found")
	}
	sys := func(names ...string) fs.FS {
		m := fstest.MapFS{}
		for _, n := range names {
			m[n] = &fstest.MapFile{Mode: fs.ModeSymlink}
		}
		return m
	}
	all := sys("sda", "sda2", "sda3", "sdb3", "sr0")
	for _, c := range []struct {
		name  string
		block fs.FS
		o     options
		want  string
		err   string
	}{
		{"by UUID", all, options{uuid: pool}, "/dev/sdb3", ""},
		{"by name", all, options{device: "sda3"}, "/dev/sda3", ""},
		{"another disk", sys("sda", "sda3", "sr0"), options{uuid: pool}, "",
			"root=UUID=" + pool + "); the disks are: sda, sda3 (btrfs " + other + ")"},
		{"no disk", fstest.MapFS{}, options{device: "vda3"}, "", "root=/dev/vda3); the disks are: none"},
	} {
		got, err := find(c.block, open, c.o)
		if got != c.want || c.err == "" != (err == nil) || err != nil && !strings.HasSuffix(err.Error(), c.err) {
			t.Errorf("%s: find = %q, %v, want %q, %q", c.name, got, err, c.want, c.err)
		}
	}
}

func TestFilesystem(t *testing.T) {
	if got := filesystem(disk(pool)); got != pool {
		t.Errorf("filesystem = %q, want %q", got, pool)
	}
	if got := filesystem(disk("")); got != "" {
		t.Errorf("filesystem of zeros = %q", got)
	}
}
