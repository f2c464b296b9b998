package dashboards

import (
	"github.com/grafana/grafana-foundation-sdk/go/bargauge"
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/heatmap"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/statetimeline"
	"github.com/grafana/grafana-foundation-sdk/go/statushistory"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// last takes the only value of an instant query.
func last() common.ReduceDataOptions {
	return common.ReduceDataOptions{
		Calcs: []string{"lastNotNull"}, Values: cog.ToPtr(false), Fields: cog.ToPtr(""),
	}
}

func legend(mode common.LegendDisplayMode, place common.LegendPlacement) common.VizLegendOptions {
	return common.VizLegendOptions{
		DisplayMode: mode, Placement: place, ShowLegend: true, Calcs: []string{},
	}
}

func tooltip(mode common.TooltipDisplayMode, order common.SortOrder) common.VizTooltipOptions {
	return common.VizTooltipOptions{Mode: mode, Sort: order}
}

// A figure is a large value per series. The name is above the value: beside it,
// it would take the room that makes the value large.
type figure struct {
	text   common.BigValueTextMode
	filled bool // the color is the background's
	rows   bool // series are below one another
}

func (f figure) look(p *dashboard.Panel) {
	p.Type = "stat"
	color := common.BigValueColorModeValue
	if f.filled {
		color = common.BigValueColorModeBackground
	}
	place := common.VizOrientationAuto
	if f.rows {
		place = common.VizOrientationHorizontal
	}
	p.Options = &stat.Options{
		GraphMode: common.BigValueGraphModeNone, ColorMode: color,
		JustifyMode: common.BigValueJustifyModeAuto, TextMode: f.text,
		Orientation: place, ReduceOptions: last(),
		PercentChangeColorMode: common.PercentChangeColorModeStandard,
	}
}

// Figures: of one series; with the names of several; only with names; and, for
// states, with a background.
var (
	figures = figure{text: common.BigValueTextModeValue}.look
	named   = figure{text: common.BigValueTextModeValueAndName}.look
	names   = figure{text: common.BigValueTextModeName}.look
	state   = figure{text: common.BigValueTextModeValue, filled: true}.look
	// Of several series, below one another.
	stacked = figure{text: common.BigValueTextModeValue, rows: true}.look
	states  = figure{text: common.BigValueTextModeValueAndName, filled: true}.look
)

// bars has one bar per series.
func bars(p *dashboard.Panel) {
	p.Type = "bargauge"
	p.Options = &bargauge.Options{
		DisplayMode: common.BarGaugeDisplayModeBasic, ValueMode: common.BarGaugeValueModeColor,
		NamePlacement: common.BarGaugeNamePlacementAuto, ShowUnfilled: true,
		Sizing: common.BarGaugeSizingAuto, MinVizWidth: 8, MinVizHeight: 16, MaxVizHeight: 40,
		ReduceOptions: last(), Orientation: common.VizOrientationHorizontal,
		Legend: common.VizLegendOptions{
			DisplayMode: common.LegendDisplayModeList, Placement: common.LegendPlacementBottom,
			Calcs: []string{},
		},
	}
}

// fromWords takes the colors from the mapping alone. By thresholds, Grafana
// would merge all states into one.
func fromWords(p *dashboard.Panel) {
	p.FieldConfig.Defaults.Color = &dashboard.FieldColor{
		Mode: dashboard.FieldColorModeIdFixed, FixedColor: cog.ToPtr("text"),
	}
}

// timeline shows when each series was in which state.
func timeline(p *dashboard.Panel) {
	p.Type = "state-timeline"
	fromWords(p)
	p.FieldConfig.Defaults.Custom = &statetimeline.FieldConfig{
		LineWidth: cog.ToPtr(uint32(0)), FillOpacity: cog.ToPtr(uint32(80)),
		SpanNulls: &statetimeline.BoolOrUint32{Bool: cog.ToPtr(false)},
	}
	p.Options = &statetimeline.Options{
		ShowValue: common.VisibilityModeAuto, RowHeight: 0.9, MergeValues: cog.ToPtr(true),
		AlignValue: cog.ToPtr(common.TimelineValueAlignmentLeft),
		Legend:     legend(common.LegendDisplayModeList, common.LegendPlacementBottom),
		Tooltip:    tooltip(common.TooltipDisplayModeSingle, common.SortOrderNone),
	}
}

// history shows yes or no as boxes at regular times.
func history(p *dashboard.Panel) {
	p.Type = "status-history"
	fromWords(p)
	p.FieldConfig.Defaults.Custom = &statushistory.FieldConfig{
		LineWidth: cog.ToPtr(uint32(1)), FillOpacity: cog.ToPtr(uint32(80)),
	}
	p.Options = &statushistory.Options{
		ShowValue: common.VisibilityModeNever, RowHeight: 0.9, ColWidth: cog.ToPtr(0.9),
		Legend:  legend(common.LegendDisplayModeList, common.LegendPlacementBottom),
		Tooltip: tooltip(common.TooltipDisplayModeSingle, common.SortOrderNone),
	}
}

// heat is a heat map; the query makes the buckets.
func heat(rows func(p *dashboard.Panel, o *heatmap.Options)) look {
	return func(p *dashboard.Panel) {
		p.Type = "heatmap"
		p.FieldConfig.Defaults.Custom = &heatmap.FieldConfig{
			HideFrom: &common.HideSeriesConfig{},
		}
		o := &heatmap.Options{
			Calculate: cog.ToPtr(false), CellGap: cog.ToPtr(uint8(1)),
			ShowValue: common.VisibilityModeNever,
			Color: heatmap.HeatmapColorOptions{
				// A scheme would turn around with the theme.
				Mode: cog.ToPtr(heatmap.HeatmapColorModeOpacity), Scheme: "Oranges", Fill: "dark-orange",
				Scale: cog.ToPtr(heatmap.HeatmapColorScaleExponential), Exponent: 0.5, Steps: 64,
			},
			FilterValues: &heatmap.FilterValueRange{Le: cog.ToPtr(float32(1e-9))},
			YAxis:        heatmap.YAxisConfig{AxisPlacement: cog.ToPtr(common.AxisPlacementLeft)},
			Legend:       heatmap.HeatmapLegend{Show: true},
			Tooltip: heatmap.HeatmapTooltip{
				Mode: common.TooltipDisplayModeSingle, YHistogram: cog.ToPtr(false),
			},
			Exemplars: heatmap.ExemplarConfig{Color: "rgba(255,0,255,0.7)"},
			RowsFrame: &heatmap.RowsHeatmapOptions{
				Layout: cog.ToPtr(common.HeatmapCellLayoutAuto),
			},
		}
		rows(p, o)
		p.Options = o
	}
}

// A line is a style of lines over time.
type line struct {
	fill    float64
	stacked bool
	log     bool    // for values over several powers of ten
	drawn   bool    // the thresholds are drawn as lines
	atLeast float64 // the axis goes at least so far up and down
	upTo    float64 // the axis goes at least so far up; if all is 0, Grafana would go to 100
}

// look makes it a panel with lines over time. Nulls stay gaps: missing data
// must look missing.
func (l line) look(p *dashboard.Panel) {
	p.Type = "timeseries"
	custom := &common.GraphFieldConfig{
		DrawStyle: cog.ToPtr(common.GraphDrawStyleLine), LineWidth: cog.ToPtr(1.0),
		LineInterpolation: cog.ToPtr(common.LineInterpolationLinear),
		FillOpacity:       &l.fill, ShowPoints: cog.ToPtr(common.VisibilityModeAuto),
		SpanNulls:         &common.BoolOrFloat64{Bool: cog.ToPtr(false)},
		Stacking:          &common.StackingConfig{Mode: cog.ToPtr(common.StackingModeNone)},
		ScaleDistribution: &common.ScaleDistributionConfig{Type: common.ScaleDistributionLinear},
		ThresholdsStyle: &common.GraphThresholdsStyleConfig{
			Mode: common.GraphThresholdsStyleModeOff,
		},
	}
	if l.stacked {
		custom.Stacking.Mode = cog.ToPtr(common.StackingModeNormal)
		custom.Stacking.Group = cog.ToPtr("A")
	}
	if l.log {
		custom.ScaleDistribution = &common.ScaleDistributionConfig{
			Type: common.ScaleDistributionLog, Log: cog.ToPtr(10.0),
		}
	}
	if l.upTo > 0 {
		custom.AxisSoftMax = &l.upTo
	}
	if l.atLeast > 0 {
		custom.AxisSoftMin, custom.AxisSoftMax = cog.ToPtr(-l.atLeast), &l.atLeast
	}
	if l.drawn {
		custom.ThresholdsStyle.Mode = common.GraphThresholdsStyleModeLine
	}
	p.FieldConfig.Defaults.Custom = custom
	p.FieldConfig.Defaults.Color.Mode = dashboard.FieldColorModeIdPaletteClassic
	p.Options = &timeseries.Options{
		Legend:  legend(common.LegendDisplayModeList, common.LegendPlacementBottom),
		Tooltip: tooltip(common.TooltipDisplayModeMulti, common.SortOrderDescending),
	}
}

func lines(p *dashboard.Panel) { line{}.look(p) }

// Properties of how a series looks.

func property(id string, value any) dashboard.DynamicConfigValue {
	return dashboard.DynamicConfigValue{Id: id, Value: value}
}

func fixed(color string) dashboard.DynamicConfigValue {
	return property("color", map[string]string{"mode": "fixed", "fixedColor": color})
}

func width(pixels int) dashboard.DynamicConfigValue { return property("custom.lineWidth", pixels) }

func fill(percent int) dashboard.DynamicConfigValue { return property("custom.fillOpacity", percent) }

func dashed() dashboard.DynamicConfigValue {
	return property("custom.lineStyle", map[string]any{"fill": "dash", "dash": []int{10, 10}})
}

func colored(steps []dashboard.Threshold) dashboard.DynamicConfigValue {
	return property("thresholds", thresholds(steps))
}

// word is the color of a state.
func word(w string) dashboard.DynamicConfigValue { return fixed(colors[w]) }
