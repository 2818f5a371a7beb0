package main

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
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
				without: patience, delay: time.Minute, panic: 10 * time.Second}},
		{cmdline: "root=/dev/vda3 rw ro init=bin/sh rootdelay=5 panic=-1 -- root=/dev/vdb",
			want: options{device: "vda3", init: "/bin/sh", delay: 5 * time.Second, without: patience,
				panic: -time.Second}},
		{cmdline: "root=UUID=" + pool + " panic=0 rootdelay=x", want: options{uuid: pool, init: "/sbin/init",
			delay: time.Minute, without: patience}},
		{cmdline: "root=UUID=" + pool + " rootflags=degraded,subvol=x", want: options{uuid: pool,
			flags: "degraded,subvol=x", init: "/sbin/init", delay: time.Minute, without: lessPatience,
			panic: 10 * time.Second}},
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

// disk is a device with a btrfs that has so many devices, or with nothing if id is empty.
func disk(id string, number, of uint64) device {
	b := make([]byte, 65536+4096)
	if id != "" {
		super := b[65536:]
		raw, err := hex.DecodeString(strings.ReplaceAll(id, "-", ""))
		if err != nil {
			panic(err)
		}
		le := binary.LittleEndian
		copy(super[0x20:], raw)
		copy(super[0x40:], "_BHRfS_M")
		le.PutUint64(super[0x30:], 65536)
		le.PutUint64(super[0x88:], of)
		le.PutUint64(super[0xc9:], number)
		le.PutUint32(super, crc32.Checksum(super[0x20:], crc32.MakeTable(crc32.Castagnoli)))
	}
	return closer{bytes.NewReader(b)}
}

type closer struct{ *bytes.Reader }

func (closer) Close() error { return nil }

func TestFind(t *testing.T) {
	const other = "00000000-0000-0000-0000-000000000001"
	const two = "00000000-0000-0000-0000-000000000002"
	disks := map[string]device{"sda": disk("", 0, 0), "sda2": closer{bytes.NewReader([]byte("short"))},
		"sda3": disk(other, 1, 1), "sdb3": disk(pool, 1, 1), "sdc3": disk(two, 1, 2), "sdd3": disk(two, 2, 2),
		"sde3": disk(two, 2, 2)}
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
		{"by UUID", all, options{uuid: pool}, "{[/dev/sdb3] true}", ""},
		{"by name", all, options{device: "sda3"}, "{[/dev/sda3] true}", ""},
		{"a mirror", sys("sdc3", "sdd3"), options{uuid: two}, "{[/dev/sdc3 /dev/sdd3] true}", ""},
		{"one half", sys("sdd3"), options{uuid: two}, "{[/dev/sdd3] false}", ""},
		{"a half and a copy of it", sys("sdd3", "sde3"), options{uuid: two}, "{[/dev/sdd3] false}", ""},
		{"another disk", sys("sda", "sda3", "sr0"), options{uuid: pool}, "{[] false}",
			"root=UUID=" + pool + "); the disks are: sda, sda3 (btrfs " + other + ")"},
		{"no disk", fstest.MapFS{}, options{device: "vda3"}, "{[] false}", "root=/dev/vda3); the disks are: none"},
	} {
		root, err := find(c.block, open, c.o)
		got := fmt.Sprint(root)
		if got != c.want || c.err == "" != (err == nil) || err != nil && !strings.HasSuffix(err.Error(), c.err) {
			t.Errorf("%s: find = %q, %v, want %q, %q", c.name, got, err, c.want, c.err)
		}
	}
}

// A root is what there is when a disk of its mirror does not come in time, and not before.
func TestAwait(t *testing.T) {
	half, whole := found{[]string{"/dev/sda3"}, false}, found{[]string{"/dev/sda3", "/dev/sdb3"}, true}
	for name, c := range map[string]struct {
		at   func(time.Duration) (found, error)
		want found
		time time.Duration
	}{
		"both at once": {func(time.Duration) (found, error) { return whole, nil }, whole, 0},
		"the other one later": {func(now time.Duration) (found, error) {
			if now < 20*time.Second {
				return half, nil
			}
			return whole, nil
		}, whole, 20 * time.Second},
		"one alone": {func(time.Duration) (found, error) { return half, nil }, half, patience},
		"one alone, late": {func(now time.Duration) (found, error) {
			if now < 50*time.Second {
				return found{}, errors.New("no disk")
			}
			return half, nil
		}, half, 50 * time.Second},
		"none": {func(time.Duration) (found, error) { return found{}, errors.New("no disk") }, found{}, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				got, err := await(func() (found, error) { return c.at(time.Since(begun)) }, nil,
					options{delay: time.Minute, without: patience})
				if took := time.Since(begun); !reflect.DeepEqual(got, c.want) ||
					(err != nil) != (c.want.nodes == nil) || took < c.time || took > c.time+time.Second {
					t.Errorf("await = %+v, %v after %s, want %+v after %s", got, err, took, c.want, c.time)
				}
			})
		})
	}
}

func TestMirrorFlags(t *testing.T) {
	for _, c := range []struct {
		data string
		root found
		want string
	}{
		{"subvol=x", found{[]string{"/dev/a"}, true}, "subvol=x"},
		{"degraded,subvol=x", found{[]string{"/dev/a", "/dev/b"}, true}, "subvol=x,device=/dev/b"},
		{"degraded,subvol=x", found{[]string{"/dev/a"}, false}, "subvol=x,degraded"},
		{"", found{[]string{"/dev/a"}, false}, "degraded"},
	} {
		if got := mirrorFlags(c.data, c.root); got != c.want {
			t.Errorf("mirrorFlags(%q, %+v) = %q, want %q", c.data, c.root, got, c.want)
		}
	}
}
