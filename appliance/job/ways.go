package job

import (
	"fmt"
	"strings"
	"time"
)

// Ways says how many encoded bytes came which way, and which way they come now.
type Ways struct {
	Now       string        `json:"now,omitempty"` // "multicast", "http", "relay", or "waiting" for others to gather
	Multicast int64         `json:"multicast,omitempty"`
	Repair    int64         `json:"repair,omitempty"` // parity, of Multicast
	Relay     int64         `json:"relay,omitempty"`  // HTTP of a neighbour
	HTTP      int64         `json:"http,omitempty"`   // HTTP of the appliance
	Machines  int           `json:"machines,omitempty"`
	Loss      float64       `json:"loss,omitempty"` // 0 to 1, of datagrams
	Wait      time.Duration `json:"wait,omitempty"` // until a wait ends by itself
	Why       string        `json:"why,omitempty"`  // why not by multicast
}

// String is one line for people.
func (w Ways) String() string {
	total := w.Multicast + w.Relay + w.HTTP
	share := func(n int64) string { return fmt.Sprintf("%d %%", int(float64(n)/float64(total)*100+0.5)) }
	var parts []string
	for _, p := range []struct {
		n    int64
		name string
	}{{w.Multicast, "multicast"}, {w.Relay, "HTTP of a neighbour"}, {w.HTTP, "HTTP"}} {
		if p.n > 0 {
			parts = append(parts, share(p.n)+" "+p.name)
		}
	}
	if len(parts) > 0 {
		parts = []string{strings.Join(parts, ", ")}
	}
	switch w.Now {
	case "waiting":
		s := "waiting for other machines that want this image"
		if w.Wait > 0 {
			s += fmt.Sprintf(", %s at most", w.Wait.Round(time.Second))
		}
		parts = append(parts, s)
	case "multicast":
		s := "to this machine alone"
		if w.Machines > 1 {
			s = fmt.Sprintf("to %d machines at once", w.Machines)
		}
		if w.Loss >= 0.001 {
			s += fmt.Sprintf(", %.1f %% lost and mended", 100*w.Loss)
		}
		parts = append(parts, s)
	case "http", "relay":
		if w.Why != "" {
			parts = append(parts, "no multicast: "+Sentence(w.Why))
		}
	}
	return strings.Join(parts, "; ")
}
