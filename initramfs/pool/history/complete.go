package history

import (
	"fmt"
	"os"
)

// reasonLater is the reason of an event that Complete adds.
const reasonLater = "found later, and not written down at the time"

// Complete adds the events that a power cut kept out: what is done to a pool and the event about it are two steps. Call
// it at each start and before each update. Of the roots that the history names, one that is there was made, one that is
// not was deleted, and to a candidate the machine switched. roots are the images of the roots that the pool has now, by
// the names of the roots; candidate is the one that the boot loader tries or tried, "" for none.
func Complete(dir *os.Root, roots map[string]string, candidate string) error {
	events, err := Read(dir)
	if err != nil {
		return err
	}
	for _, e := range missing(events, roots, candidate) {
		if err := Append(dir, e); err != nil {
			return fmt.Errorf("adding what a power cut kept out: %w", err)
		}
	}
	return nil
}

// missing are the events that are missing.
func missing(events []Event, roots map[string]string, candidate string) []Event {
	last := map[string]Event{}
	var names []string
	for _, e := range events {
		switch e.Kind {
		case Made, Switched, Started, Blessed, Failed, Deleted:
			if e.Root == "" {
				continue
			}
			if _, ok := last[e.Root]; !ok {
				names = append(names, e.Root)
			}
			if e.Image == "" {
				e.Image = last[e.Root].Image
			}
			last[e.Root] = e
		}
	}
	var out []Event
	add := func(k Kind, root, image string) {
		out = append(out, Event{Kind: k, Root: root, Image: image, Reason: reasonLater})
	}
	for _, name := range names {
		e := last[name]
		image, there := roots[name]
		switch {
		case !there && e.Kind != Deleted:
			add(Deleted, name, e.Image)
		case there && e.Kind == Deleted:
			add(Made, name, image)
			e.Kind = Made
		}
		if there && e.Kind == Made && name == candidate {
			add(Switched, name, image)
		}
	}
	return out
}
