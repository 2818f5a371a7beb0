//go:build cloud

package qemu

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griddle/cloud/provider"
	"griddle/imagestore/durable"
)

const sector = 512

// bootDisk makes a disk that boots by BIOS: GRUB behind the partition table, and one ext4 with Debian and cloud-init.
func bootDisk(t *testing.T, dir string) string {
	t.Helper()
	run := func(program string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s; run make deps", program, err, out)
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	tarball := filepath.Join(cache, "griddle", "cloudguest-bookworm.tar.zst")
	if _, err := os.Stat(tarball); err != nil {
		t.Fatalf("%v; the tests of cloud/userdata make it", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "tree"), 0o755); err != nil {
		t.Fatal(err)
	}
	run("tar", "--zstd", "--numeric-owner", "-xpf", tarball, "-C", "tree")
	const size, start = 1536 << 20, 1 << 20
	disk := filepath.Join(dir, "disk.img")
	f, err := os.Create(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	config := "serial --unit=0 --speed=115200\nterminal_output serial\nset root=(hd0,msdos1)\n" +
		"linux /vmlinuz root=LABEL=root rw console=ttyS0 net.ifnames=0\ninitrd /initrd.img\nboot\n"
	if err := os.WriteFile(filepath.Join(dir, "grub.cfg"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	run("grub-mkimage", "-O", "i386-pc", "-o", "core.img", "-p", "/boot/grub", "-c", "grub.cfg", "biosdisk",
		"part_msdos", "ext2", "linux", "serial", "terminal", "boot", "minicmd")
	run("mke2fs", "-q", "-F", "-t", "ext4", "-L", "root", "-E", fmt.Sprintf("offset=%d", start), "-d", "tree",
		"disk.img", fmt.Sprintf("%dk", (size-start)>>10))
	os.RemoveAll(filepath.Join(dir, "tree"))
	// boot.img loads sector 1, whose blocks follow it: the defaults of grub-mkimage.
	mbr, err := os.ReadFile("/usr/lib/grub/i386-pc/boot.img")
	if err != nil {
		t.Fatalf("%v; run make deps", err)
	}
	core, err := os.ReadFile(filepath.Join(dir, "core.img"))
	if err != nil || len(core) > start-sector {
		t.Fatalf("GRUB has %d bytes, %v", len(core), err)
	}
	mbr = append(mbr[:446:446], make([]byte, 66)...)
	mbr[446], mbr[450] = 0x80, 0x83
	binary.LittleEndian.PutUint32(mbr[454:], start/sector)
	binary.LittleEndian.PutUint32(mbr[458:], (size-start)/sector)
	copy(mbr[510:], "\x55\xaa")
	for at, b := range map[int64][]byte{0: mbr, sector: core} {
		if _, err := f.WriteAt(b, at); err != nil {
			t.Fatal(err)
		}
	}
	return disk
}

// TestBoot has a system boot, find its seed, its volume and its networks, be reached at its ssh port, shut
// down and start again.
func TestBoot(t *testing.T) {
	ctx, stop := context.WithTimeout(t.Context(), 40*time.Minute)
	defer stop()
	disk := bootDisk(t, t.TempDir())
	b, err := os.ReadFile(disk)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	size := int64(len(b))
	b = nil
	q, err := New(Config{Dir: t.TempDir(), Accel: "tcg", ShutdownTimeout: 5 * time.Minute, Disk: durable.Disk{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		q.ShutdownTimeout = 0
		ctx, stop := context.WithTimeout(context.Background(), time.Minute)
		defer stop()
		if err := down(ctx, q); err != nil {
			t.Error(err)
		}
		checkEmpty(t, q.Dir)
	})
	ensure := func(w provider.Want) provider.Resource {
		t.Helper()
		r, err := q.Ensure(ctx, w)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	image := ensure(&provider.Image{
		Name: "debian", Digest: "sha256:" + hex.EncodeToString(sum[:]), Format: provider.Raw, Arch: "amd64", Size: size,
		Virtual: size, BIOS: true,
		Open: func() (provider.Contents, error) { return os.Open(disk) },
	})
	all := netip.MustParsePrefix("0.0.0.0/0")
	server := &provider.Server{
		Stack: "demo", Name: "web-1", Size: "small", Disk: 3 << 30, Image: image.ID,
		Private: netip.MustParseAddr("10.77.0.11"),
		Key:     ensure(&provider.Key{Stack: "demo", Name: "admin", Public: testKey}).ID,
		Network: ensure(&provider.Network{Stack: "demo", Name: "net", Prefix: prefix()}).ID,
		Firewall: ensure(&provider.Firewall{Stack: "demo", Name: "web",
			Rules: []provider.Rule{{Protocol: "tcp", From: 22, To: 22, Source: all}}}).ID,
		Volumes: []string{ensure(&provider.Volume{Stack: "demo", Name: "web-1.data", Size: 1 << 30}).ID},
		UserData: []byte(`#cloud-config
locale: C.UTF-8
runcmd:
- [sh, -c, "{ echo; echo SEEN host=$(hostname); ip -4 -o addr | sed 's/^/SEEN /'; ls /dev/disk/by-id | sed 's/^/SEEN /'; echo SEEN root=$(lsblk -bno SIZE /dev/vda | head -1); echo SEEN key=$(cat /home/*/.ssh/authorized_keys /root/.ssh/authorized_keys); echo SEEN all; } >/dev/ttyS0"]
`),
	}
	r := ensure(server)
	console := waitConsole(t, ctx, q, r, "SEEN all")
	for _, part := range []string{"SEEN host=web-1", "eth0    inet 10.0.2.15/24", "eth1    inet 10.77.0.11/24",
		"HARDDISK_web-1.data", "SEEN root=3221225472", "AAAAC3NzaC1lZDI1NTE5AAAAIDZWs2WB8fJyFBKMs"} {
		if !strings.Contains(console, part) {
			t.Errorf("the console has no %q in\n%s", part, seen(console))
		}
	}
	all1, err := q.List(ctx, "demo")
	if err != nil {
		t.Fatal(err)
	}
	r = all1[len(all1)-1]
	if r.State != provider.Ready || r.SSHPort == 0 {
		t.Errorf("the server is %+v, want it ready with an ssh port", r)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", netip.AddrPortFrom(r.Public, r.SSHPort).String())
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(time.Minute))
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.HasPrefix(line, "SSH-2.0-") {
		t.Errorf("its ssh port says %q, %v", line, err)
	}
	conn.Close()
	neighbour(t, q, r)

	if err := q.Control(ctx, r, provider.Stop); err != nil {
		t.Fatal(err)
	}
	if err := until(ctx, q, func(all []provider.Resource) bool {
		return all[len(all)-1].State == provider.Stopped
	}); err != nil {
		t.Fatal(err)
	}
	if last := waitConsole(t, ctx, q, r, "Power down"); !strings.Contains(last, "Power down") {
		t.Error("it lost its power, and did not shut down")
	}
	if err := os.Truncate(filepath.Join(q.home(r.Kind, r.Stack, r.Name), consoleFile), 0); err != nil {
		t.Fatal(err)
	}
	if err := q.Control(ctx, r, provider.Start); err != nil {
		t.Fatal(err)
	}
	waitConsole(t, ctx, q, r, "login:")
}

// waitConsole waits until a server has written a text.
func waitConsole(t *testing.T, ctx context.Context, q *QEMU, r provider.Resource, text string) string {
	t.Helper()
	for {
		b, err := q.Console(ctx, r)
		if err != nil {
			t.Fatalf("%v; the console ends with\n%s", err, b)
		}
		if bytes.Contains(b, []byte(text)) {
			return string(b)
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("the console has no %q; it ends with\n%s", text, b[max(0, len(b)-3000):])
		}
	}
}

func seen(console string) string {
	var b strings.Builder
	for line := range strings.Lines(console) {
		if strings.Contains(line, "SEEN") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// neighbour is another server of the stack's network: it asks who has the server's address (RFC 826), and is answered.
func neighbour(t *testing.T, q *QEMU, r provider.Resource) {
	t.Helper()
	networks, err := q.records("stacks", r.Stack, "network")
	if err != nil || len(networks) != 1 {
		t.Fatalf("the networks are %v, %v", networks, err)
	}
	group := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(networks[0].Network.Group))
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	in, err := net.ListenMulticastUDP("udp4", lo, group)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	me := []byte{0x52, 0, 0, 0, 0, 9}
	frame := append(bytes.Repeat([]byte{0xff}, 6), me...)
	frame = append(frame, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1)
	frame = append(append(frame, me...), 10, 77, 0, 9)
	frame = append(append(frame, make([]byte, 6)...), 10, 77, 0, 11)
	frame = append(frame, make([]byte, 18)...)
	out, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}, group)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	in.SetReadDeadline(time.Now().Add(time.Minute))
	buf := make([]byte, 2048)
	for {
		if _, err := out.Write(frame); err != nil {
			t.Fatal(err)
		}
		n, _, err := in.ReadFrom(buf)
		if err != nil {
			t.Fatalf("waiting for the answer of %v on its network: %v", r.Private, err)
		}
		b := buf[:n]
		if n >= 42 && bytes.Equal(b[:6], me) && bytes.Equal(b[12:14], []byte{8, 6}) &&
			bytes.Equal(b[28:32], []byte{10, 77, 0, 11}) {
			return
		}
	}
}
