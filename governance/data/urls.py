"""The pages of data governance, below /console/data/."""

from django.urls import path

from governance.data import dataset_views, placement_views, views

urlpatterns = [
    path("", views.catalogue, name="data-catalogue"),
    path("trace/", views.trace, name="data-trace"),
    path("assets/<uuid:asset_id>/", views.asset, name="data-asset"),
    path("assets/<uuid:asset_id>/label/", views.label, name="data-label"),
    path("assets/<uuid:asset_id>/describe/", views.describe, name="data-describe"),
    path("assets/<uuid:asset_id>/link/", views.link, name="data-link"),
    path("declassifications/<uuid:request_id>/", views.decide_wish, name="data-declassification"),
    path("datasets/", dataset_views.datasets, name="data-datasets"),
    path("datasets/<uuid:dataset_id>/grants/", dataset_views.grants, name="page-dataset-grants"),
    path("placement/", placement_views.placement, name="data-placement"),
    path("placement/pool/", placement_views.set_pool, name="data-pool"),
    path("placement/burst/", placement_views.set_burst, name="data-burst"),
    path("erasures/", placement_views.erasures, name="data-erasures"),
    path("erasures/<uuid:erasure_id>/", placement_views.erasure, name="data-erasure"),
    path("erasures/<uuid:erasure_id>/live/", placement_views.erasure_live, name="data-erasure-live"),
    path("erasures/<uuid:erasure_id>/receipt/", placement_views.receipt, name="data-receipt"),
    path("erasures/<uuid:erasure_id>/step/", placement_views.step, name="data-erasure-step"),
]
