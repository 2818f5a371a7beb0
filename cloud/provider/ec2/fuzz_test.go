package ec2_test

import (
	"context"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"griddle/cloud/provider"
)

// answers has the same answer for everything.
type answers struct{ body []byte }

func (a *answers) ServeHTTP(w http.ResponseWriter, _ *http.Request) { w.Write(a.body) }

// FuzzAnswers has EC2 answer anything: an error or nothing is made of it, and no panic.
func FuzzAnswers(f *testing.F) {
	for _, s := range []string{
		"", "{}", "<r/>", "<r><instanceId/></r>",
		`<DescribeInstancesResponse><reservationSet><item><instancesSet><item><instanceId>i-1</instanceId></item></instancesSet></item></reservationSet></DescribeInstancesResponse>`,
		`<r><vpcSet><item><vpcId>vpc-1</vpcId><state>available</state></item></vpcSet><vpc/><routeTableSet><item/></routeTableSet></r>`,
		`<r><imagesSet><item><imageState>available</imageState><blockDeviceMapping><item/></blockDeviceMapping></item></imagesSet></r>`,
		`<r><volumeSet><item><attachmentSet><item/></attachmentSet></item></volumeSet><nextToken>x</nextToken></r>`,
		`{"SnapshotId":"snap-1","BlockSize":524288}`, `{"BlockSize":-1}`,
		`<r><addressesSet><item><publicIp>nowhere</publicIp></item></addressesSet><output>?</output></r>`,
		`<r><instanceTypeSet><item/></instanceTypeSet><keySet><item/></keySet><snapshotSet><item/></snapshotSet></r>`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		o := worldOf(t, &answers{body})
		p := open(t, o)
		ctx, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer stop()
		image, _ := disk(2, 0)
		prefix := netip.MustParsePrefix("10.77.0.0/24")
		for _, w := range []provider.Want{
			image, &provider.Key{Stack: "demo", Name: "k", Public: key},
			&provider.Network{Stack: "demo", Name: "n", Prefix: prefix, DNS: []netip.Addr{prefix.Addr()}},
			&provider.Firewall{Stack: "demo", Name: "f"}, &provider.Address{Stack: "demo", Name: "a"},
			&provider.Volume{Stack: "demo", Name: "v", Size: 1 << 30},
			&provider.Server{Stack: "demo", Name: "s", Image: "ami-1", Size: "t3.small", Network: "vpc-1", Key: "key-1",
				Firewall: "sg-1", Address: "eipalloc-1", Volumes: []string{"vol-1"}},
		} {
			if r, err := p.Ensure(ctx, w); err == nil {
				t.Logf("Ensure made %+v", r)
			}
			kind, stack, name := w.Identity()
			p.Remove(ctx, provider.Resource{Kind: kind, Stack: stack, Name: name})
		}
		p.List(ctx, "demo")
		p.List(ctx, "")
		p.Sizes(ctx)
		p.Console(ctx, provider.Resource{Kind: provider.KindServer})
	})
}
