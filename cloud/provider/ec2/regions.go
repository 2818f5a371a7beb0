package ec2

import (
	"context"
	"errors"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/ec2"
)

// defaultRegion is asked which regions there are where none is set: every account has it.
const defaultRegion = "us-east-1"

// Regions names the regions that the account can use, in order.
func Regions(ctx context.Context, o Options) ([]string, error) {
	p, err := Open(ctx, o)
	if errors.Is(err, errNoRegion) {
		o.Region = defaultRegion
		p, err = Open(ctx, o)
	}
	if err != nil {
		return nil, err
	}
	out, err := p.ec2.DescribeRegions(ctx, &api.DescribeRegionsInput{}) // those that are not opted in are left out
	if err != nil {
		return nil, p.explain(ctx, "listing regions", err)
	}
	var names []string
	for _, r := range out.Regions {
		names = append(names, aws.ToString(r.RegionName))
	}
	slices.Sort(names)
	return names, nil
}
