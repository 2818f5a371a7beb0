package image

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/imagestore/catalog"
	"griddle/imagestore/ref"
)

var listColumns = []cli.Column[catalog.Listed]{
	{Name: "image", Text: func(l catalog.Listed) string { return l.Ref }},
	{Name: "published", Text: func(l catalog.Listed) string { return l.Published.Format(time.DateTime) },
		Raw: func(l catalog.Listed) string { return l.Published.Format(time.RFC3339) }},
	{Name: "size", Text: func(l catalog.Listed) string { return job.Bytes(l.Size) },
		Raw: func(l catalog.Listed) string { return strconv.FormatInt(l.Size, 10) }},
	{Name: "download", Text: func(l catalog.Listed) string { return job.Bytes(l.Wire) },
		Raw: func(l catalog.Listed) string { return strconv.FormatInt(l.Wire, 10) }},
	{Name: "description", Text: description, Tone: func(l catalog.Listed) cli.Tone {
		if l.Installable() != nil {
			return cli.Bad
		}
		return cli.Plain
	}},
	{Name: "channels", Hidden: true, Text: func(l catalog.Listed) string { return strings.Join(l.Channels, " ") }},
	{Name: "template", Hidden: true, Text: func(l catalog.Listed) string { return l.Template }},
	{Name: "version", Hidden: true, Text: func(l catalog.Listed) string { return l.Version }},
	{Name: "arch", Hidden: true, Text: func(l catalog.Listed) string { return l.Arch }},
	{Name: "comment", Hidden: true, Text: func(l catalog.Listed) string { return job.Sentence(l.Comment) }},
}

func description(l catalog.Listed) string {
	if err := l.Installable(); err != nil {
		return "CANNOT BE INSTALLED: " + job.Sentence(err.Error())
	}
	return job.Sentence(l.Description)
}

func listCommand(e *cli.Env) *cobra.Command {
	var store cli.StoreFlags
	list := cli.List[catalog.Listed]{Columns: listColumns}
	c := &cobra.Command{
		Use: "list [NAME...]", Aliases: []string{"ls"},
		Short: "List images, the newest version of each first",
		Long: "List images, the newest version of each first. NAME chooses images; in it * stands for any\n" +
			"characters. Times are UTC. DOWNLOAD is what a machine without any version of the image has to fetch.",
		Example: "  griddle image list\n" +
			"  griddle image list 'web:2026*' '*/*' -o json\n" +
			"  griddle image list --filter channels='*stable*' --columns image,channels",
		Args: cobra.ArbitraryArgs, ValidArgsFunction: cli.Each(cli.Images(e, &store)),
	}
	store.Add(c)
	list.Flags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		for _, a := range args {
			if _, err := ref.ParseFilter(a); err != nil {
				return cli.Usage(err)
			}
		}
		st, err := cli.OpenStore(e, store, false)
		if err != nil {
			return err
		}
		all, err := st.List(c.Context(), args...)
		if err != nil {
			return fmt.Errorf("listing images: %w", err)
		}
		return list.Print(e, all)
	}
	return c
}
