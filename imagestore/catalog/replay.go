package catalog

import (
	"fmt"
	"slices"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/ref"
)

// Replay computes the view. An entry of an unknown kind is an error: an old program must not misread the log of a
// newer one.
func Replay(entries []Entry) (*View, error) {
	v := &View{images: map[string]*Listed{}, gone: map[string]*Listed{}, channels: map[string]map[string]string{},
		retired: map[blob.Digest]time.Time{}}
	for i := range entries {
		if err := v.apply(&entries[i]); err != nil {
			return nil, fmt.Errorf("reading catalog entry %d: %w", entries[i].Seq, err)
		}
	}
	v.complete()
	return v, nil
}

func (v *View) apply(e *Entry) error {
	v.entries = e.Seq
	switch e.Kind {
	case KindPublish:
		if e.Image == nil {
			return fmt.Errorf("it publishes an image and does not describe it")
		}
		l := *e.Image
		r, err := ref.Parse(l.Ref)
		if err != nil {
			return err
		}
		if !r.Exact() || r.Template() != l.Template || r.Version != l.Version || r.Arch != l.Arch {
			return fmt.Errorf("%w %q: it is not a full reference", ref.ErrInvalid, l.Ref)
		}
		l.Streams = slices.Clone(l.Streams)
		v.images[l.Ref] = &l
	case KindStreams:
		if e.Image == nil || v.images[e.Image.Ref] == nil {
			return fmt.Errorf("it adds streams to an image that does not exist")
		}
		l := v.images[e.Image.Ref]
		l.Streams = append(l.Streams, e.Image.Streams...)
	case KindEncoding:
		if e.Image == nil || v.images[e.Image.Ref] == nil {
			return fmt.Errorf("it encodes streams of an image that does not exist")
		}
		l := v.images[e.Image.Ref]
		i := slices.IndexFunc(l.Streams, func(s ListedStream) bool { return s.Index == e.Replaces })
		if i < 0 {
			return fmt.Errorf("it replaces an encoding that does not exist")
		}
		v.retired[l.Streams[i].Index], v.retired[l.Streams[i].Encoding] = e.Time, e.Time
		l.Streams = append(slices.Delete(slices.Clone(l.Streams), i, i+1), e.Image.Streams...)
	case KindDelete:
		if l := v.images[e.Ref]; l != nil {
			v.gone[e.Ref] = l
			delete(v.images, e.Ref)
		}
	case KindTrust:
		return v.keys.allow(e)
	case KindRevoke:
		return v.keys.revoke(e)
	case KindChannel:
		if v.channels[e.Ref] == nil {
			v.channels[e.Ref] = map[string]string{}
		}
		v.channels[e.Ref][e.Channel] = e.Version
		if e.Version == "" {
			delete(v.channels[e.Ref], e.Channel)
		}
	case KindKeep:
		return v.keep(e.Keep)
	default:
		return fmt.Errorf("kind %.40q is not known to this version of the program", e.Kind)
	}
	return nil
}

// complete fills in what the log does not hold.
func (v *View) complete() {
	newest := map[string]*Listed{}
	v.mark()
	ways := v.Usable().Ways(nil)
	for _, l := range v.images {
		l.Wire, l.Latest, l.Channels = ways[l.Ref].Cost, false, nil
		for c, version := range v.channels[l.Template] {
			if version == l.Version {
				l.Channels = append(l.Channels, c)
			}
		}
		slices.Sort(l.Channels)
		key := l.Template + "@" + l.Arch
		if n := newest[key]; n == nil || ref.CompareVersions(l.Version, n.Version) > 0 {
			newest[key] = l
		}
	}
	for _, l := range newest {
		l.Latest = true
	}
}

// Needed is every blob of every live image.
func (v *View) Needed() map[blob.Digest]bool {
	out := map[blob.Digest]bool{}
	for _, l := range v.images {
		l.EachBlob(func(d blob.Digest) { out[d] = true })
	}
	return out
}
