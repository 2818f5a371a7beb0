package openstack

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"

	"griddle/cloud/provider"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/keypairs"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
)

// What servers bear besides the labels.
const (
	labelRole  = "griddle-role"
	labelImage = "griddle-image" // nova does not tell the image of a server whose root disk is a volume
)

func serverState(s servers.Server) (provider.State, string) {
	switch {
	case s.TaskState == "deleting" || s.Status == "DELETED" || s.Status == "SOFT_DELETED":
		return provider.Removing, ""
	case s.Status == "ERROR":
		reason := s.Fault.Message
		if reason == "" {
			reason = "the compute service says ERROR"
		}
		return provider.Failed, message([]byte(reason))
	case s.TaskState != "":
		return provider.Pending, ""
	case s.Status == "ACTIVE":
		return provider.Ready, ""
	case s.Status == "SHUTOFF" || s.Status == "PAUSED" || s.Status == "SUSPENDED" ||
		strings.HasPrefix(s.Status, "SHELVED"):
		return provider.Stopped, ""
	}
	return provider.Pending, ""
}

func serverAge(s servers.Server) made { return made{s.ID, s.Created} }

// ourServers lists the servers of a stack by name. Where two have the same one, the older is in it, and one that failed
// only if there is no other.
func (p *Provider) ourServers(ctx context.Context, stack string) (map[string]servers.Server, error) {
	pages, err := servers.List(p.compute, servers.ListOpts{}).AllPages(ctx)
	if err != nil {
		return nil, err
	}
	all, err := servers.ExtractServers(pages)
	if err != nil {
		return nil, err
	}
	ours := make(map[string]servers.Server)
	for _, s := range all {
		l, ok := parseMetadata(s.Metadata)
		if !ok || l.stack != stack || l.kind != provider.KindServer {
			continue
		}
		old, there := ours[l.name]
		sFailed, oldFailed := s.Status == "ERROR", old.Status == "ERROR"
		if !there || !sFailed && oldFailed || sFailed == oldFailed && serverAge(s).before(serverAge(old)) {
			ours[l.name] = s
		}
	}
	return ours, nil
}

func serverResource(s servers.Server) provider.Resource {
	l, _ := parseMetadata(s.Metadata)
	r := provider.Resource{Kind: provider.KindServer, Stack: l.stack, Name: l.name, ID: s.ID, Want: l.want,
		Image: s.Metadata[labelImage]}
	r.State, r.Reason = serverState(s)
	return r
}

func (p *Provider) listServers(ctx context.Context, stack string) ([]provider.Resource, error) {
	ours, err := p.ourServers(ctx, stack)
	if err != nil || len(ours) == 0 {
		return nil, err
	}
	var some []provider.Resource
	for _, s := range ours {
		some = append(some, serverResource(s))
	}
	return some, p.address(ctx, stack, some)
}

// address fills in the addresses of servers. They are neutron's to tell: nova learns of them late.
func (p *Provider) address(ctx context.Context, stack string, some []provider.Resource) error {
	held, err := p.ourPorts(ctx, stack)
	if err != nil {
		return err
	}
	floating, err := p.ourAddresses(ctx, stack)
	if err != nil {
		return err
	}
	for i := range some {
		o, there := held[some[i].Name]
		if !there || o.DeviceID != "" && o.DeviceID != some[i].ID {
			continue
		}
		some[i].Private = portAddress(o)
		for _, a := range floating {
			if a.PortID == o.ID {
				some[i].Public = addressResource(a, nil).Public
			}
		}
	}
	return nil
}

func (p *Provider) ensureServer(ctx context.Context, w *provider.Server) (provider.Resource, error) {
	ours, err := p.ourServers(ctx, w.Stack)
	if err != nil {
		return provider.Resource{}, err
	}
	s, there := ours[w.Name]
	if there {
		if err := p.changeServer(ctx, s, w); err != nil {
			return provider.Resource{}, err
		}
	} else if s, err = p.makeServer(ctx, w); err != nil {
		return provider.Resource{}, err
	}
	r := []provider.Resource{serverResource(s)}
	err = p.address(ctx, w.Stack, r)
	return r[0], err
}

// makeServer makes the port, and then the server that has it.
func (p *Provider) makeServer(ctx context.Context, w *provider.Server) (servers.Server, error) {
	options, err := p.serverOptions(ctx, w)
	if err != nil {
		return servers.Server{}, err
	}
	if err := p.wantVolumes(ctx, w.Volumes, ""); err != nil {
		return servers.Server{}, err
	}
	port, err := p.ensurePort(ctx, w)
	if err != nil {
		return servers.Server{}, err
	}
	if err := p.bindAddress(ctx, w.Stack, port, w.Address); err != nil {
		return servers.Server{}, err
	}
	options.Networks = []servers.Network{{Port: port.ID}}
	mine, err := servers.Create(ctx, p.compute,
		keypairs.CreateOptsExt{CreateOptsBuilder: options, KeyName: w.Key}, nil).Extract()
	if err != nil {
		return servers.Server{}, p.whyNot(ctx, w, err)
	}
	ours, err := p.ourServers(ctx, w.Stack)
	if err != nil {
		return servers.Server{}, err
	}
	s, there := ours[w.Name]
	if !there {
		return s, fmt.Errorf("server %s is not listed yet: %w", mine.ID, provider.ErrTemporary)
	}
	if s.ID != mine.ID {
		if err := servers.Delete(ctx, p.compute, mine.ID).ExtractErr(); err != nil && !isNotFound(err) {
			return s, err
		}
	}
	return s, nil
}

// whyNot is the error for a server that nova refused to make: another program can have made it since its volumes and
// its port were looked at.
func (p *Provider) whyNot(ctx context.Context, w *provider.Server, cause error) error {
	if a, ok := answerOf(cause); !ok || a.status != http.StatusBadRequest {
		return cause
	}
	ours, err := p.ourServers(ctx, w.Stack)
	if _, there := ours[w.Name]; err != nil || !there {
		return cause
	}
	return fmt.Errorf("another program makes it: %w: %w", provider.ErrTemporary, cause)
}

// serverOptions checks what a server is made from.
func (p *Provider) serverOptions(ctx context.Context, w *provider.Server) (servers.CreateOpts, error) {
	flavor, err := p.flavor(ctx, w.Size)
	if err != nil {
		return servers.CreateOpts{}, err
	}
	i, err := images.Get(ctx, p.image, w.Image).Extract()
	if err != nil {
		return servers.CreateOpts{}, fmt.Errorf("its image %s: %w", w.Image, err)
	}
	if w.UEFI && property(i, "hw_firmware_type") == "bios" {
		return servers.CreateOpts{}, fmt.Errorf("its image boots by BIOS here, which is the image's property and not "+
			"the server's: %w", provider.ErrUnsupported)
	}
	l := labelsOf(w)
	drive := !p.options.NoConfigDrive
	o := servers.CreateOpts{
		Name: w.Name, FlavorRef: flavor.ID, ImageRef: w.Image, Metadata: l.metadata(), ConfigDrive: &drive,
		AvailabilityZone: p.options.Zone,
	}
	o.Metadata[labelImage] = w.Image
	if w.Role != "" {
		o.Metadata[labelRole] = w.Role
	}
	if len(w.UserData) > 0 {
		// The library leaves alone what happens to be base64 already: so all of it is.
		o.UserData = []byte(base64.StdEncoding.EncodeToString(w.UserData))
	}
	root := servers.BlockDevice{
		SourceType: servers.SourceImage, DestinationType: servers.DestinationLocal, UUID: w.Image,
		DeleteOnTermination: true,
	}
	if wanted := int((w.Disk + 1<<30 - 1) >> 30); wanted > flavor.Disk {
		if p.volume == nil {
			return o, fmt.Errorf("size %s has a disk of %d GiB, %d are wanted, and %s: %w",
				w.Size, flavor.Disk, wanted, p.features.Lacks[provider.KindVolume], provider.ErrInvalid)
		}
		root.DestinationType, root.VolumeSize, o.ImageRef = servers.DestinationVolume, wanted, ""
	}
	if root.DestinationType == servers.DestinationVolume || len(w.Volumes) > 0 {
		o.BlockDevice = []servers.BlockDevice{root}
		for _, id := range w.Volumes {
			o.BlockDevice = append(o.BlockDevice, servers.BlockDevice{
				SourceType: servers.SourceVolume, DestinationType: servers.DestinationVolume, UUID: id, BootIndex: -1,
			})
		}
	}
	return o, nil
}
