# What `hakmem report` is made of: its sources, and the files that it writes into each report.
#
# uPlot (MIT licence) is optional: without it the charts are still pictures. `ci/setup` installs it where
# HAKMEM_UPLOT_DIR says.
include(HakmemEmbed)

set(HAKMEM_UPLOT_DIR ${PROJECT_SOURCE_DIR}/build/node/node_modules/uplot CACHE PATH "Folder of uPlot's npm package")
set(hakmem_uplot_js ${HAKMEM_UPLOT_DIR}/dist/uPlot.iife.min.js)
set(hakmem_uplot_css ${HAKMEM_UPLOT_DIR}/dist/uPlot.min.css)
if(NOT EXISTS ${hakmem_uplot_js} OR NOT EXISTS ${hakmem_uplot_css} OR NOT EXISTS ${HAKMEM_UPLOT_DIR}/LICENSE)
	message(STATUS "uPlot: not found; charts of `hakmem report` are still pictures")
	set(hakmem_uplot_js NONE)
	set(hakmem_uplot_css NONE)
else()
	message(STATUS "uPlot: ${HAKMEM_UPLOT_DIR}")
	# Its licence wants to be where it is.
	set_property(DIRECTORY ${PROJECT_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${hakmem_uplot_js})
	file(READ ${hakmem_uplot_js} hakmem_uplot_text)
	file(READ ${HAKMEM_UPLOT_DIR}/LICENSE hakmem_uplot_license)
	set(hakmem_uplot_js ${PROJECT_BINARY_DIR}/uplot.js)
	file(WRITE ${hakmem_uplot_js} "/* uPlot:\n${hakmem_uplot_license}*/\n${hakmem_uplot_text}")
endif()

set(hakmem_report_dir ${PROJECT_SOURCE_DIR}/tools)
hakmem_embed(${PROJECT_BINARY_DIR}/report_assets.c report_assets.h report_asset
	report_css ${hakmem_report_dir}/report/report.css
	report_js ${hakmem_report_dir}/report/report.js
	report_uplot_css ${hakmem_uplot_css}
	report_uplot_js ${hakmem_uplot_js})
set(HAKMEM_REPORT_SOURCES
	${hakmem_report_dir}/report.c
	${hakmem_report_dir}/report_document.c
	${hakmem_report_dir}/report_charts.c
	${hakmem_report_dir}/report_series.c
	${hakmem_report_dir}/report_tables.c
	${hakmem_report_dir}/report_data.c
	${hakmem_report_dir}/html.c
	${hakmem_report_dir}/heap_profile.c
	${hakmem_report_dir}/symbols.c
	${PROJECT_BINARY_DIR}/report_assets.c)
