package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"
	"time"

	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/smart"
)

// Scanner lists the disks of a machine. Sys and Open are required. It may be used by several goroutines.
//
// It keeps the result of the samples of a disk until the kernel counts a write to the disk, so that a list every few
// seconds does not keep hard disks busy.
type Scanner struct {
	Sys  fs.FS                             // /sys: block/* and what it links to
	Open func(path string) (Device, error) // Open, except in tests
	Dev  string                            // folder of the device files; "" means "/dev"
	// Ask asks another program what it recognises; nil: nothing is asked
	Ask func(context.Context, content.Region) content.Answer
	// Health asks a disk how it is, by path and bus: smart.Ask; nil: no disk is asked
	Health func(path, bus string) smart.Health
	// Facts says what is known of the filesystem in a partition of the disk at path: facts.Of; nil: nothing is asked.
	// It may take long, and several disks are asked about at the same time. When ctx ends, its result does not count.
	Facts func(ctx context.Context, path string, p content.Partition) content.Facts

	mu      sync.Mutex
	busy    map[string]*scanning // by Disk.Name, the newest one
	samples map[string]sampled   // by Disk.Name
	healths map[string]asked     // by Disk.Name
	learned map[string]*learning // by Disk.Name
}

// scanning is one look at one disk.
type scanning struct {
	began time.Time
	done  chan struct{} // closed at the end; then disk and err are set
	disk  Disk
	err   error
}

// sampled is what Sample said of a disk that was in state.
type sampled struct{ state, result string }

// scanTimeout is how long Scan waits for one disk. A disk that fails may hold up a read for minutes, and nothing can
// break that off.
const scanTimeout = content.SampleTime + 10*time.Second

// errSilent is why a disk is not known.
var errSilent = errors.New("it does not answer")

// Scan lists the disks, sorted by name, and reads all of them at the same time. It leaves out RAM disks, loop devices,
// optical and floppy drives, device-mapper and md arrays, boot areas of eMMC, hidden paths of multipath NVMe, and
// readers without a medium. A disk with several names is listed once, with all of them in Paths. It takes at most 40
// seconds.
//
// A disk on which nothing is recognised is sampled, unless it is removable or read-only: largest and smallest do not
// pick such a disk. A disk that cannot be opened or read, or does not answer, is still listed, without content and as
// read-only; the error names it.
func (s *Scanner) Scan(ctx context.Context) ([]Disk, error) {
	entries, err := fs.ReadDir(s.Sys, "block")
	if err != nil {
		return nil, fmt.Errorf("listing disks: %w", err)
	}
	var disks []Disk
	var looks []*scanning
	for _, e := range entries {
		name := e.Name()
		if !whole(name) {
			continue
		}
		d, ok := fromSysfs(s.Sys, name)
		if !ok {
			continue
		}
		d.Path = path.Join(orDev(s.Dev), strings.ReplaceAll(name, "!", "/"))
		disks, looks = append(disks, d), append(looks, s.begin(ctx, d))
	}
	var bad error
	failed := make([]bool, len(disks))
	for i, l := range looks {
		err := l.wait(ctx)
		if err == nil {
			disks[i], err = l.disk, l.err
		}
		if err != nil {
			disks[i].ReadOnly, failed[i] = true, true
			disks[i].Sampled = content.Brief(err.Error())
			bad = errors.Join(bad, fmt.Errorf("looking at %s: %w", disks[i].Path, err))
		}
	}
	return joinPaths(disks, failed), bad
}

// wait waits for the end of a look, though not beyond scanTimeout after its beginning.
func (l *scanning) wait(ctx context.Context) error {
	limit := time.NewTimer(time.Until(l.began.Add(scanTimeout)))
	defer limit.Stop()
	select {
	case <-l.done:
		return nil
	case <-limit.C:
	case <-ctx.Done():
	}
	select {
	case <-l.done: // while another disk was waited for
		return nil
	default:
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errSilent
}

func orDev(dev string) string {
	if dev == "" {
		return "/dev"
	}
	return dev
}

// begin looks at d in a goroutine of its own, or joins a look at the same disk that has not ended.
func (s *Scanner) begin(ctx context.Context, d Disk) *scanning {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy == nil {
		s.busy, s.samples = map[string]*scanning{}, map[string]sampled{}
		s.healths, s.learned = map[string]asked{}, map[string]*learning{}
	}
	if l := s.busy[d.Name]; l != nil {
		return l
	}
	l := &scanning{began: time.Now(), done: make(chan struct{}), disk: d}
	s.busy[d.Name] = l
	go func() {
		l.err = s.examine(ctx, &l.disk)
		s.mu.Lock()
		delete(s.busy, d.Name)
		s.mu.Unlock()
		close(l.done)
	}()
	return l
}

// examine opens the disk and reads what is on it.
func (s *Scanner) examine(ctx context.Context, d *Disk) error {
	state := s.state(*d) // before anything is read
	dev, err := s.Open(d.Path)
	if err != nil {
		return err
	}
	defer dev.Close()
	d.identify(dev)
	d.Health = s.health(*d)
	if d.Content, err = content.Inspect(dev, d.Size, d.SectorSize); err != nil {
		return err
	}
	if s.Ask != nil {
		d.AddAnswers(ctx, s.Ask, d.Path, d.Size)
	}
	s.learn(ctx, d, state)
	if d.Recognised() || d.Removable || d.ReadOnly {
		return nil
	}
	s.mu.Lock()
	known, ok := s.samples[d.Name]
	s.mu.Unlock()
	if ok && state != "" && known.state == state {
		d.Sampled = known.result
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, content.SampleTime)
	defer cancel()
	d.Sampled = content.Sample(limited, dev, d.Size)
	if ctx.Err() == nil {
		s.mu.Lock()
		s.samples[d.Name] = sampled{state, d.Sampled}
		s.mu.Unlock()
	}
	return nil
}

// state changes when another disk has the name, and with each write: diskseq counts the disks that the kernel has seen,
// fields 5 to 7 and 12 to 14 of stat the writes and discards (Documentation/ABI/stable/sysfs-block). It is "" where the
// kernel says neither.
func (s *Scanner) state(d Disk) string {
	seq := attribute(s.Sys, path.Join("block", d.Name, "diskseq"))
	stat := strings.Fields(attribute(s.Sys, path.Join("block", d.Name, "stat")))
	if seq == "" || len(stat) < 7 {
		return ""
	}
	counts := append([]string{seq, fmt.Sprint(d.Size), d.Serial}, stat[4:7]...)
	if len(stat) >= 14 {
		counts = append(counts, stat[11:14]...)
	}
	return strings.Join(counts, " ")
}
