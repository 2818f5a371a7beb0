package liveupdate

import (
	"griddle/appliance/job"
	"griddle/initramfs/pool"
	"griddle/initramfs/resident/order"
)

// TellRoots leaves the roots of a pool for the service.
func TellRoots(orders order.Files, p *pool.Pool) error {
	c, err := p.Read()
	if err != nil {
		return err
	}
	return orders.TellRoots(rootsOf(c))
}

func rootsOf(c pool.Contents) []job.Root {
	var out []job.Root
	for _, r := range c.Roots {
		told := job.Root{Name: pool.Label(r.Name), Runs: r.Runs, Good: r.Good, Next: r.Boots, Reset: r.Reset}
		if r.Image != "" {
			told.Image = pool.Label(r.Image)
		}
		out = append(out, told)
	}
	return out
}
