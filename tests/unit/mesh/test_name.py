import pytest

from tulle.mesh.name import qualify, service_host, short_forms


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("reviews", "reviews.shop.svc.cluster.local"),
        ("Reviews.", "reviews.shop.svc.cluster.local"),
        ("reviews.other", "reviews.other.svc.cluster.local"),
        ("reviews.other.svc", "reviews.other.svc.cluster.local"),
        ("reviews.other.svc.cluster.local", "reviews.other.svc.cluster.local"),
        ("api.example.com", "api.example.com"),
        ("*.example.com", "*.example.com"),
        ("*", "*"),
        ("10.1.2.3", "10.1.2.3"),
        ("", ""),
        ("a..b", "a..b"),
    ],
)
def test_a_name_means_what_it_means_on_kubernetes(written: str, meant: str) -> None:
    assert qualify(written, "shop", "cluster.local") == meant


def test_every_short_form_means_the_service() -> None:
    host = service_host("reviews", "shop", "cluster.local")
    for form in short_forms(host, "shop", "cluster.local"):
        assert qualify(form, "shop", "cluster.local") == host
    assert "reviews" in short_forms(host, "shop", "cluster.local")
    assert "reviews" not in short_forms(host, "other", "cluster.local")


def test_a_host_outside_the_mesh_has_no_short_forms() -> None:
    assert short_forms("api.example.com", "shop", "cluster.local") == ("api.example.com",)
