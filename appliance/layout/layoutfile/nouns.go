package layoutfile

import (
	"griddle/appliance/layout"
	"griddle/cloud/yamltree"
)

func (f file) disk(n *yamltree.Node, path string, d *layout.Disk) {
	f.Object(n, path, "disk", []yamltree.Field{
		yamltree.Key("id", f.text(&d.ID)),
		yamltree.Key("match", func(n *yamltree.Node, path string) { f.match(n, path, &d.Match) }),
		yamltree.Key("table", f.text(&d.Table)),
		yamltree.Key("wipe", f.truth(&d.Wipe)),
		yamltree.Key("blank", f.truth(&d.Blank)),
		yamltree.Key("partitions", func(n *yamltree.Node, path string) {
			f.List(n, path, layout.MaxPartitions, func(n *yamltree.Node, path string) {
				d.Partitions = append(d.Partitions, layout.Partition{})
				f.partition(n, path, &d.Partitions[len(d.Partitions)-1])
			})
		}),
	}, "id", "match", "partitions")
}

func (f file) match(n *yamltree.Node, path string, m *layout.Match) {
	f.Object(n, path, "match", []yamltree.Field{
		yamltree.Key("model", f.text(&m.Model)),
		yamltree.Key("serial", f.text(&m.Serial)),
		yamltree.Key("wwn", f.text(&m.WWN)),
		yamltree.Key("path", f.text(&m.Path)),
		yamltree.Key("size", f.text(&m.Size)),
		yamltree.Key("transport", f.text(&m.Transport)),
		yamltree.Key("rotational", f.text(&m.Rotational)),
	})
}

func (f file) partition(n *yamltree.Node, path string, p *layout.Partition) {
	f.Object(n, path, "partition", []yamltree.Field{
		yamltree.Key("id", f.text(&p.ID)),
		yamltree.Key("match", func(n *yamltree.Node, path string) {
			p.Match = &layout.Which{}
			f.which(n, path, p.Match)
		}),
		yamltree.Key("use", f.text(&p.Use)),
		yamltree.Key("size", f.size(&p.Size)),
		yamltree.Key("filesystem", f.text(&p.Filesystem)),
		yamltree.Key("label", f.text(&p.Label)),
		yamltree.Key("mount", f.text(&p.Mount)),
		yamltree.Key("keep", f.truth(&p.Keep)),
		yamltree.Key("wipe", f.truth(&p.Wipe)),
		yamltree.Key("shrink", func(n *yamltree.Node, path string) {
			p.Shrink = &layout.Shrink{}
			f.shrink(n, path, p.Shrink)
		}),
		yamltree.Key("luks", func(n *yamltree.Node, path string) {
			p.LUKS = &layout.LUKS{}
			f.luks(n, path, p.LUKS)
		}),
	}, "id")
}

func (f file) luks(n *yamltree.Node, path string, l *layout.LUKS) {
	f.Object(n, path, "luks", []yamltree.Field{
		yamltree.Key("unlock", func(n *yamltree.Node, path string) {
			f.List(n, path, maxUnlock, func(n *yamltree.Node, path string) {
				by, _ := f.Line(n, path, "text", layout.MaxText)
				l.Unlock = append(l.Unlock, by)
			})
		}),
	}, "unlock")
}

// maxUnlock is how many ways to open a partition a list may have: more than there are.
const maxUnlock = 8

func (f file) which(n *yamltree.Node, path string, w *layout.Which) {
	f.Object(n, path, "partition match", []yamltree.Field{
		yamltree.Key("number", f.number(&w.Number, 1, 256)),
		yamltree.Key("name", f.text(&w.Name)),
		yamltree.Key("label", f.text(&w.Label)),
		yamltree.Key("filesystem", f.text(&w.Filesystem)),
	})
}

func (f file) shrink(n *yamltree.Node, path string, s *layout.Shrink) {
	f.Object(n, path, "shrink", []yamltree.Field{
		yamltree.Key("to", f.size(&s.To)),
		yamltree.Key("by", f.size(&s.By)),
		yamltree.Key("leave", f.size(&s.Leave)),
	})
}
