package diskimage

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"griddle/appliance/e2e"
	"griddle/initramfs/bootloader"
)

// BenchmarkDiskImage makes a qcow2 of the Debian template, beside `mke2fs -d` and `qemu-img convert` of the same
// tree, which lies unpacked there already. The cpu-ratio is that of the processor's time, which is worth more on a
// busy computer. Memory is that of the largest process, disk what lies in the working directory at most, the
// peer's tree not counted.
func BenchmarkDiskImage(b *testing.B) {
	caches, err := os.UserCacheDir()
	if err != nil {
		b.Fatal(err)
	}
	tarball, err := e2e.Template(b.Context(), filepath.Join(caches, "griddle"), os.Stderr)
	if err != nil {
		b.Fatal(err)
	}
	base := b.TempDir()
	archive, tree := filepath.Join(base, "image.tar"), filepath.Join(base, "tree")
	if out, err := exec.Command("sh",
		"-ec", `mkdir "$2"; zstd -dqc "$0" >"$1"; tar --xattrs --xattrs-include='*' --numeric-owner -C "$2" -xf "$1"`,
		tarball, archive, tree).CombinedOutput(); err != nil {
		b.Fatalf("unpacking the template: %v\n%s", err, out)
	}
	grub := filepath.Join(base, "grub") // as `make boot` leaves them
	if err := bootloader.BuildGRUB(b.Context(), grub, bootloader.BuildOptions{}); err != nil {
		b.Fatal(err)
	}
	var ours, peer measured
	for n := 0; b.Loop(); n++ {
		dir := filepath.Join(base, fmt.Sprint("ours", n))
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+dir, "TAR="+archive, "GRUB="+grub,
			"DIGEST="+strings.Repeat("0", 64), "FORMAT=qcow2")
		ours.add(b, cmd, dir)
		made, err := (&Cache{Dir: dir}).List()
		if err != nil || len(made) != 1 {
			b.Fatalf("the cache has %+v, %v", made, err)
		}
		other := filepath.Join(base, fmt.Sprint("peer", n))
		if err := os.Mkdir(other, 0o700); err != nil {
			b.Fatal(err)
		}
		peer.add(b, exec.Command("sh", "-ec", `mke2fs -q -F -t ext4 -d "$0" "$1/raw" "$2k"; `+
			`qemu-img convert -f raw -O qcow2 -c "$1/raw" "$1/qcow2"; sync -f "$1/qcow2"`,
			tree, other, fmt.Sprint(rootSize(made[0].Virtual)/1024)), other)
		for _, d := range []string{dir, other} {
			if err := os.RemoveAll(d); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ours.wall.Seconds()/float64(b.N), "s/disk")
	b.ReportMetric(peer.wall.Seconds()/float64(b.N), "peer-s/disk")
	b.ReportMetric(ours.wall.Seconds()/peer.wall.Seconds(), "ratio")
	b.ReportMetric(ours.cpu.Seconds()/peer.cpu.Seconds(), "cpu-ratio")
	b.ReportMetric(float64(ours.memory)/1e6, "MB-memory")
	b.ReportMetric(float64(peer.memory)/1e6, "peer-MB-memory")
	b.ReportMetric(float64(ours.disk)/1e6, "MB-disk")
	b.ReportMetric(float64(peer.disk)/1e6, "peer-MB-disk")
}

// measured is what runs have cost.
type measured struct {
	wall, cpu    time.Duration // of all runs
	memory, disk int64         // bytes, the most of any run
}

func (m *measured) add(b *testing.B, cmd *exec.Cmd, dir string) {
	b.Helper()
	stop, most := make(chan bool), make(chan int64)
	go func() {
		var peak int64
		for tick := time.NewTicker(100 * time.Millisecond); ; {
			select {
			case <-tick.C:
				peak = max(peak, usage(dir))
			case <-stop:
				tick.Stop()
				most <- peak
				return
			}
		}
	}()
	begun := time.Now()
	out, err := cmd.CombinedOutput()
	m.wall += time.Since(begun)
	close(stop)
	m.disk = max(m.disk, <-most)
	if err != nil {
		b.Fatalf("running %s: %v\n%s", cmd, err, out)
	}
	m.cpu += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	// Of the process and all that it waited for, the largest (getrusage(2)), in KiB.
	m.memory = max(m.memory, cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss*1024)
}

// usage is what the files below dir take on disk, in bytes.
func usage(dir string) (sum int64) {
	filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // it went away
		}
		if i, err := d.Info(); err == nil {
			sum += i.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return nil
	})
	return sum
}
