package layoutfile

import (
	"griddle/appliance/layout"
	"griddle/cloud/yamltree"
)

func (f file) raid(n *yamltree.Node, path string, r *layout.Raid) {
	f.Object(n, path, "array", append([]yamltree.Field{
		yamltree.Key("id", f.text(&r.ID)),
		yamltree.Key("level", f.number(&r.Level, 0, 10)),
		yamltree.Key("devices", f.devices(&r.Devices)),
	}, f.content(&r.Content)...), "id", "level", "devices", "use")
}

func (f file) group(n *yamltree.Node, path string, g *layout.Group) {
	f.Object(n, path, "volume group", []yamltree.Field{
		yamltree.Key("id", f.text(&g.ID)),
		yamltree.Key("devices", f.devices(&g.Devices)),
		yamltree.Key("lvm_partitions", func(n *yamltree.Node, path string) {
			f.List(n, path, layout.MaxLogical, func(n *yamltree.Node, path string) {
				g.Volumes = append(g.Volumes, layout.Logical{})
				f.logical(n, path, &g.Volumes[len(g.Volumes)-1])
			})
		}),
	}, "id", "devices", "lvm_partitions")
}

func (f file) logical(n *yamltree.Node, path string, l *layout.Logical) {
	f.Object(n, path, "volume", append([]yamltree.Field{
		yamltree.Key("id", f.text(&l.ID)),
		yamltree.Key("size", f.size(&l.Size)),
	}, f.content(&l.Content)...), "id", "size", "use")
}

// content are the keys of what is made in a volume.
func (f file) content(c *layout.Content) []yamltree.Field {
	return []yamltree.Field{
		yamltree.Key("use", f.text(&c.Use)),
		yamltree.Key("filesystem", f.text(&c.Filesystem)),
		yamltree.Key("label", f.text(&c.Label)),
		yamltree.Key("mount", f.text(&c.Mount)),
	}
}

func (f file) devices(to *[]string) func(*yamltree.Node, string) {
	return func(n *yamltree.Node, path string) {
		f.List(n, path, layout.MaxDevices, func(n *yamltree.Node, path string) {
			id, _ := f.Line(n, path, "text", layout.MaxText)
			*to = append(*to, id)
		})
	}
}
