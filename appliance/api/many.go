package api

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"griddle/appliance/fleet"
	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/appliance/order"
)

// MakeOrder asks for one order for many machines.
type MakeOrder struct {
	Kind job.Kind `json:"kind"`
	// Machines are keys. The name of a group stands for its machines. Filter adds machines, as the list has them.
	Machines []string     `json:"machines,omitempty"`
	Filter   string       `json:"filter,omitempty"`
	Options  OrderOptions `json:"options"`
	Limits   order.Limits `json:"limits"`
	// Plan is OrderPreview.Hash of what was agreed to. An order that loses data, or makes a filesystem smaller, is made
	// only with it.
	Plan string `json:"plan,omitempty"`
	// Agreed is PreviewedMachine.Agreed of each machine that was agreed to, by its ID. Where it is given, a machine for
	// which something else would be lost by now is skipped, and the others get their jobs. Otherwise nothing is ordered
	// if anything has changed.
	Agreed map[string]string `json:"agreed,omitempty"`
}

// OrderOptions are what each machine gets. The fields are what an operator types.
type OrderOptions struct {
	// Image may be left out if Machines is one group that has an image: that is meant.
	Image string `json:"image,omitempty"`
	// Of an install: Disk or Layout, as in Install. Overwrite says that the content of the disk that Disk chooses may
	// be lost: of each machine the content that the preview named.
	Disk      string          `json:"disk,omitempty"`
	Overwrite bool            `json:"overwrite,omitempty"`
	Layout    json.RawMessage `json:"layout,omitempty"`
	Args      []string        `json:"args,omitempty"`

	Reset      string `json:"reset,omitempty"`      // of an install and an update, see job.Reset
	When       string `json:"when,omitempty"`       // of an update, see job.When
	AllowOlder bool   `json:"allowOlder,omitempty"` // of an update
	Replace    bool   `json:"replace,omitempty"`    // take back what waits or runs on a machine
}

// OrderPreview is what an order would do. Nothing is changed.
type OrderPreview struct {
	Kind     job.Kind           `json:"kind"`
	What     string             `json:"what"`  // what the machines get, in words
	Hash     string             `json:"hash"`  // of what each machine gets, and loses
	Gets     int                `json:"gets"`  // machines that get a job
	Loses    int                `json:"loses"` // of these, those that lose data or have a filesystem made smaller
	Machines []PreviewedMachine `json:"machines"`
}

// PreviewedMachine is what one machine gets by an order.
type PreviewedMachine struct {
	Asked   string   `json:"asked"` // as the request names it
	ID      string   `json:"id,omitempty"`
	Name    string   `json:"name,omitempty"`
	Status  string   `json:"status,omitempty"` // see fleet.View.Status
	Image   string   `json:"image,omitempty"`  // that it gets
	Has     bool     `json:"has,omitempty"`    // it has the image already, and gets no job
	Loses   []string `json:"loses,omitempty"`  // a line for each thing that is lost
	Smaller []string `json:"smaller,omitempty"`
	Notes   []string `json:"notes,omitempty"`   // what an operator should know, such as that it is away
	Refused string   `json:"refused,omitempty"` // why it gets no job
	Agreed  string   `json:"agreed,omitempty"`  // a hash of Loses and Smaller; "" if there are none
	Erase   string   `json:"erase,omitempty"`   // the disk whose content is lost

	unknown bool // the server does not know it
}

func (m PreviewedMachine) loses() bool { return len(m.Loses)+len(m.Smaller) > 0 }

// row is the machine in the order.
func (m PreviewedMachine) row() order.Machine {
	out := order.Machine{ID: m.ID, Name: m.Name, Image: m.Image, Agreed: m.Agreed, Erase: m.Erase, State: order.Waiting}
	switch {
	case m.Refused != "":
		out.State, out.Why = order.Skipped, job.Sentence(m.Refused)
	case m.Has:
		out.State, out.Why = order.Finished, "it has "+m.Image+" already"
	}
	return out
}

// check says what is wrong with the options of a kind.
func (o OrderOptions) check(kind job.Kind) error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{fleet.ErrInvalid}, args...)...)
	}
	install := o.Disk != "" || o.Overwrite || o.Layout != nil || len(o.Args) > 0
	update := o.When != "" || o.AllowOlder
	switch kind {
	case job.Install:
		switch {
		case (o.Disk == "") == (o.Layout == nil):
			return wrong("an install needs either a disk rule or a layout")
		case o.Overwrite && o.Layout != nil:
			return wrong("a layout says itself what is lost, by wipe: true; leave out overwrite")
		case update:
			return wrong("when and allowOlder are for updates")
		}
	case job.Update:
		if install {
			return wrong("an update names no disk, no layout and no kernel arguments")
		}
	case job.Relay:
		if install || update || o.Reset != "" {
			return wrong("a relay needs an image alone")
		}
	case job.Reboot:
		if install || update || o.Reset != "" || o.Image != "" {
			return wrong("a reboot has no image and no disk")
		}
		return nil
	default:
		return wrong("jobs of the kind %q cannot be ordered for many machines", job.Printable(string(kind)))
	}
	if o.Image == "" {
		return wrong("the order names no image")
	}
	if _, err := job.ParseWhen(o.When); err != nil {
		return fmt.Errorf("%w: %w", fleet.ErrInvalid, err)
	}
	return nil
}

// what says in words what each machine gets.
func (o OrderOptions) what(kind job.Kind) string {
	image := job.Printable(o.Image)
	switch {
	case kind == job.Install && o.Layout != nil:
		return "install " + image + " by a layout"
	case kind == job.Install && o.Overwrite:
		return fmt.Sprintf("install %s on disk %s, and overwrite that", image, job.Sentence(o.Disk))
	case kind == job.Install:
		return fmt.Sprintf("install %s on disk %s", image, job.Sentence(o.Disk))
	case kind == job.Update:
		return "update to " + image
	case kind == job.Reboot:
		return "restart"
	}
	return string(kind) + " " + image
}

// preview says what an order would do. in gets the keys and the image of what it names by groups and filters.
func (h *Handler) preview(ctx context.Context, in *MakeOrder) (OrderPreview, error) {
	if err := h.expand(ctx, in); err != nil {
		return OrderPreview{}, err
	}
	out := OrderPreview{Kind: in.Kind, What: in.Options.what(in.Kind), Machines: []PreviewedMachine{}}
	if err := in.Options.check(in.Kind); err != nil {
		return out, err
	}
	if err := in.Limits.Validate(); err != nil {
		return out, fmt.Errorf("%w: %w", fleet.ErrInvalid, err)
	}
	if len(in.Machines) == 0 || len(in.Machines) > order.MaxMachines {
		return out, fmt.Errorf("%w: an order has 1 to %d machines, and this one %d", fleet.ErrInvalid,
			order.MaxMachines, len(in.Machines))
	}
	p, err := h.planner(in.Kind, in.Options, in.Limits)
	if err != nil {
		return out, err
	}
	if in.Kind != job.Update { // an image that does not exist is no mistake of a machine
		if _, _, err := p.order(ctx, "", ""); err != nil {
			return out, err
		}
	}
	asked := map[string]string{}
	for _, key := range in.Machines {
		m, err := p.preview(ctx, key)
		if err != nil {
			return out, err
		}
		if first := asked[m.ID]; first != "" && m.ID != "" {
			continue // named twice, as by two of its addresses
		}
		asked[m.ID] = m.Asked
		if m.Refused == "" && !m.Has {
			out.Gets++
			if m.loses() {
				out.Loses++
			}
		}
		out.Machines = append(out.Machines, m)
	}
	out.Hash = hashOrder(*in, out.Machines)
	return out, nil
}

// hashOrder is the hash of what machines get and lose by an order. The order of the machines does not count.
func hashOrder(in MakeOrder, all []PreviewedMachine) string {
	var lines []string
	for _, m := range all {
		if m.Refused == "" && !m.Has {
			b, _ := json.Marshal([]string{m.ID, m.Image, m.Agreed, m.Erase}) // strings can be written
			lines = append(lines, string(b))
		}
	}
	slices.Sort(lines)
	options, err := json.Marshal(in.Options)
	if err != nil { // the layout is not JSON, which check found before
		options = nil
	}
	text := fmt.Sprintf("griddle order 1\n%s\n%s\n%s\n", in.Kind, options, strings.Join(lines, "\n"))
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(text)))
}

// makeOrder makes an order that by asks for.
func (h *Handler) makeOrder(ctx context.Context, in MakeOrder, by string) (order.Order, error) {
	p, err := h.preview(ctx, &in)
	if err != nil {
		return order.Order{}, err
	}
	var unknown []string
	for _, m := range p.Machines {
		if m.unknown {
			unknown = append(unknown, m.Asked)
		}
	}
	if len(unknown) > 0 {
		return order.Order{}, fmt.Errorf("%w: %s", fleet.ErrUnknown,
			strings.Join(unknown[:min(len(unknown), 20)], ", "))
	}
	if in.Plan != p.Hash && in.Agreed == nil && (p.Loses > 0 || in.Plan != "") {
		what := fmt.Sprintf("%d machines lose data or have a filesystem made smaller, and the order does not agree to "+
			"that; look at what they lose, and agree with the plan %s", p.Loses, p.Hash)
		if in.Plan != "" {
			what = fmt.Sprintf("the plan is now %s, and the order agrees to %s; look at it again", p.Hash,
				job.Printable(in.Plan))
		}
		return order.Order{}, job.NewProblem(http.StatusConflict, what)
	}
	options, err := json.Marshal(in.Options)
	if err != nil {
		return order.Order{}, fmt.Errorf("%w options: %w", fleet.ErrInvalid, err)
	}
	o := order.Order{Kind: in.Kind, What: p.What, Asked: options, By: by, Limits: in.Limits}
	for _, m := range p.Machines {
		row := m.row()
		if in.Plan != p.Hash && m.loses() && row.Live() && in.Agreed[m.ID] != m.Agreed {
			row.State, row.Why = order.Skipped, "what it would lose is not what was agreed to; look at it again"
		}
		o.Machines = append(o.Machines, row)
	}
	if o, err = h.o.Fleet.MakeOrder(ctx, o); err != nil {
		return o, err
	}
	c := o.Count()
	h.o.Log.Info("order made", "order", o.ID, "by", by, "what", o.What, "machines", len(o.Machines), "waiting",
		c.Waiting, "skipped", c.Skipped, "loses", p.Loses)
	return o, nil
}

// planner makes the orders for single machines of an order for many. It asks for each image once.
type planner struct {
	h      *Handler
	kind   job.Kind
	o      OrderOptions
	begin  order.Seconds // within which a machine begins; 0 for no limit
	layout layout.Document
	images map[string]fleet.Order // by the image asked for
}

func (h *Handler) planner(kind job.Kind, o OrderOptions, l order.Limits) (*planner, error) {
	p := &planner{h: h, kind: kind, o: o, begin: l.Begin, images: map[string]fleet.Order{}}
	if o.Layout == nil {
		return p, nil
	}
	var err error
	if p.layout, err = layout.Decode(o.Layout); err != nil {
		return nil, fmt.Errorf("%w layout: %w", fleet.ErrInvalid, err)
	}
	return p, nil
}

// order is what a machine gets that has such an image: image, "" for the one that was asked for. It is current if the
// machine has that already.
func (p *planner) order(ctx context.Context, key, image string) (o fleet.Order, current bool, err error) {
	if p.kind.IsAction() {
		return fleet.Order{Kind: p.kind, Replace: p.o.Replace, Within: p.begin.Duration()}, false, nil
	}
	if image == "" {
		image = p.o.Image
	}
	var has fleet.System
	if p.kind == job.Update {
		if has, err = p.h.o.Fleet.SystemOf(ctx, key); err != nil {
			return o, false, err
		}
		image = p.h.o.Names.For(image, has.Image)
	}
	o, known := p.images[image]
	if !known {
		o, err = p.h.order(ctx, p.kind, Install{Image: image, Disk: p.o.Disk, Layout: p.o.Layout, Args: p.o.Args,
			Reset: p.o.Reset})
		if err != nil {
			return o, false, err
		}
		p.images[image] = o
	}
	o.Asked, o.Replace = p.o.Image, p.o.Replace
	if p.kind != job.Update {
		return o, false, nil
	}
	o.AllowOlder = p.o.AllowOlder
	if o.When, err = job.ParseWhen(p.o.When); err != nil {
		return o, false, fmt.Errorf("%w: %w", fleet.ErrInvalid, err)
	}
	if err := p.h.fits(has, o); err != nil {
		return o, false, err
	}
	same := o.Reset.After(has.Machine.Service.Reset()) == has.Machine.Service.Reset()
	return o, has.Image == o.Image.Ref && same && !has.Ordered && !has.Unsure, nil
}

// errNotDisk is why a disk cannot be overwritten in many machines at once.
var errNotDisk = errors.New("the disk has no serial number, no WWN and no place of its own, so that no order for " +
	"many machines can name it; install this machine by itself")
