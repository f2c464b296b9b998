package omssim

import "strconv"

// blobNames lists the fields of a task that hold its configuration.
var blobNames = []string{
	"transferMapping", "commonTransferConfig", "structTransferConfig",
	"fullTransferConfig", "incrTransferConfig", "reverseIncrTransferConfig",
}

// blobs returns the fields that hold the configuration of a task. They are null
// if size is 0, and otherwise objects of about size bytes in all, but at least
// about a kilobyte.
func blobs(size int, style Style) string {
	w := &wire{style: style}
	if size == 0 {
		w.null(blobNames...)
		return string(w.buf)
	}
	w.smallConfigs()
	w.object("transferMapping")
	w.string("mode", "SPECIFIC")
	w.null("databasesBlack", "tableAndViewWhiteList", "tableAndViewBlackList")
	w.array("databases")
	w.begin('{')
	w.string("name", "trade")
	w.string("mappedName", "trade_ob")
	w.string("id", "db_1")
	w.array("views")
	w.end(']')
	w.array("tables")
	for i := 1; len(w.buf) < size-len("]}]}"); i++ {
		w.table(i)
	}
	w.end(']')
	w.end('}')
	w.end(']')
	w.end('}')
	return string(w.buf)
}

func (w *wire) smallConfigs() {
	w.object("commonTransferConfig")
	w.string("tableCategory", "ALL")
	w.bool("activeActive", false)
	w.string("mqSerializerType", "DEFAULT")
	w.null("mqPartitionMode", "mqPartition", "datahubTopicType", "rocketMqProducerGroup")
	w.end('}')
	w.object("structTransferConfig")
	w.string("byteCharConvertStrategy", "DO_NOTHING_IF_BYTE_USED")
	w.bool("deferIndexCreation", false)
	w.end('}')
	w.object("fullTransferConfig")
	w.bool("allowDestTableNotEmpty", false)
	w.string("fullTransferSpeedMode", "NORMAL")
	w.null("fullTransferSpeedConfig", "throttleRps", "throttleIOPS")
	w.end('}')
	for _, name := range []string{"incrTransferConfig", "reverseIncrTransferConfig"} {
		w.object(name)
		w.array("recordTypeWhiteList")
		w.element("INSERT")
		w.element("UPDATE")
		w.element("DELETE")
		w.end(']')
		w.int("storeLogKeptHour", 168)
		w.bool("enableSequencingWithinTxn", true)
		w.int("incrSyncConcurrency", 64)
		w.null("throttleRps", "throttleIOPS")
		w.end('}')
	}
}

// table writes the mapping of the i-th table.
func (w *wire) table(i int) {
	name := "orders_" + strconv.Itoa(i)
	w.begin('{')
	w.string("name", name)
	w.string("mappedName", name)
	w.string("id", "tb_"+strconv.Itoa(i))
	w.string("whereClause", `status <> "closed" AND id > 0`)
	w.null("filterColumns", "shardColumns")
	w.array("columns")
	for position, column := range []string{"id", "order_no", "金额"} {
		w.begin('{')
		w.string("columnName", column)
		w.int("position", int64(position))
		w.bool("nullable", position > 0)
		w.null("defaultValue")
		w.end('}')
	}
	w.end(']')
	w.end('}')
}
