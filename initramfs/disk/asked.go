package disk

import (
	"fmt"
	"path"
	"time"

	"griddle/initramfs/disk/smart"
)

const (
	healthTime = 5 * time.Second  // that a disk has to say how it is
	healthLife = 10 * time.Minute // that its answer is kept
)

// asked is what a disk said of itself, or is still asked.
type asked struct {
	disk string // which it is
	at   time.Time
	said smart.Health
}

// health asks the disk how it is, at most once in healthLife. It waits no longer than healthTime: a disk that does not
// answer this may still be read. The command goes on by itself then, and its answer counts for later scans.
func (s *Scanner) health(d Disk) smart.Health {
	if s.Health == nil {
		return smart.Health{}
	}
	which := fmt.Sprint(attribute(s.Sys, path.Join("block", d.Name, "diskseq")), " ", d.Serial, " ", d.Size)
	s.mu.Lock()
	known, ok := s.healths[d.Name]
	if ok && known.disk == which && time.Since(known.at) < healthLife {
		s.mu.Unlock()
		return known.said
	}
	silent := smart.Health{State: smart.Unknown, Reason: "it did not answer in time"}
	if d.Bus != "nvme" && d.Bus != "sata" {
		silent = smart.Health{}
	}
	began := time.Now()
	s.healths[d.Name] = asked{which, began, silent}
	s.mu.Unlock()
	answer := make(chan smart.Health, 1)
	go func() {
		said := s.Health(d.Path, d.Bus)
		s.mu.Lock()
		if s.healths[d.Name].at.Equal(began) {
			s.healths[d.Name] = asked{which, began, said}
		}
		s.mu.Unlock()
		answer <- said
	}()
	select {
	case said := <-answer:
		return said
	case <-time.After(healthTime):
		return silent
	}
}
